# What tools/demo and tools/test share: a Python of their own in .venv. Sourced, not run.

# Print one line for the person who waits, on standard error: standard output is for results.
say() { printf '%s\n' "$*" >&2; }

# Print a Python that is 3.11 or newer and can make virtual environments, or explain what is missing and fail.
find_python() {
  local candidate found=""
  for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
    found=$candidate
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  if [ -n "$found" ]; then
    say "$found is new enough but has no venv module with pip; on Debian and Ubuntu: apt-get install python3-venv"
  else
    say "no Python 3.11 or newer was found on the PATH; install one, then run this again"
  fi
  return 1
}

# Make .venv in the checkout if need be and install the checkout into it with these extras, such as demo,test.
# Does nothing when that was done already for this pyproject.toml: a stamp holds what was installed from what.
ready_environment() {
  local checkout=$1 extras=$2 python wanted stamp
  local environment=$checkout/.venv
  stamp=$environment/installed-$extras
  wanted="$checkout $(cksum <"$checkout/pyproject.toml")"
  if is_sound "$environment" && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  # An environment knows its own path: one that was moved with its folder is of no use.
  if ! is_sound "$environment" || [ "$(cat "$environment/made-in" 2>/dev/null || echo "$checkout")" != "$checkout" ]; then
    if [ -e "$environment" ] && [ ! -e "$environment/made-in" ]; then
      say "$environment is not ours and has no Python 3.11 with pip; move it away, then run this again"
      return 1
    fi
    python=$(find_python)
    say "making $environment with $("$python" --version)"
    rm -rf "$environment"
    mkdir "$environment"
    printf '%s\n' "$checkout" >"$environment/made-in"
    "$python" -m venv "$environment"
  fi
  say "installing runicorn-es and what it needs for: $extras (once; this takes a minute)"
  rm -f "$environment"/installed-*
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$checkout[$extras]"
  printf '%s\n' "$wanted" >"$stamp"
}

# Succeed when this environment has a Python that is new enough, and pip.
is_sound() {
  "$1/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}
