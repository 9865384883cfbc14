// What pages can do beyond links and forms. Each part looks for its own markup, and a page is whole without any of it.
//
//   [data-theme-toggle]          a button that goes from light to dark and back
//   [data-copy]                  a button that copies this text
//   form[data-live=ID]           a search whose answer replaces the element ID while one types; the URL keeps up
//   [data-tail=URL]              a table body that grows at its top by rows that the server sends
//   input[data-moments]          a slider over positions, which leads to the same page as of then
//   [data-graph]                 a lineage to pan, to zoom, and to trace

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Theme

for (const button of all("[data-theme-toggle]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* then until the next page */ }
  });
}

// Copy

for (const button of all("[data-copy]")) {
  button.hidden = false;
  const label = button.textContent;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(button.dataset.copy)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = label; }, 1600);
  });
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // no clipboard outside of a secure context
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    return isDone;
  }
}

// Live search

for (const form of all("form[data-live]")) {
  let timer, asking;
  const ask = async () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    const url = `${form.action.split("?")[0]}${query.size ? `?${query}` : ""}`;
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await fetch(url, { signal: asking.signal, headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.getElementById(form.dataset.live);
      if (!found) return form.submit();
      document.getElementById(form.dataset.live).replaceWith(document.adoptNode(found));
      history.replaceState(history.state, "", url);
    } catch (error) {
      if (error.name !== "AbortError") form.submit();
    }
  };
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 180); });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); ask(); });
}

// Tail: one connection, and none while nobody looks

for (const body of all("[data-tail]")) {
  const most = Number(body.dataset.tailMost || 200);
  let source, last = body.dataset.tailAfter;
  const stop = () => { source?.close(); source = undefined; };
  const start = () => {
    const url = new URL(body.dataset.tail, location.href);
    if (last !== undefined) url.searchParams.set("after", last);
    source = new EventSource(url);
    source.addEventListener("message", (event) => {
      last = event.lastEventId || last;
      const rows = new DOMParser().parseFromString(`<table><tbody>${event.data}</tbody></table>`, "text/html");
      for (const row of all("tr", rows)) {
        row.classList.add("new");
        body.prepend(document.adoptNode(row));
      }
      while (body.rows.length > most) body.lastElementChild.remove();
    });
  };
  const toggle = document.querySelector(`[data-tail-toggle="${body.id}"]`);
  const show = () => {
    if (!toggle) return;
    toggle.hidden = false;
    toggle.setAttribute("aria-pressed", String(Boolean(source)));
  };
  toggle?.addEventListener("click", () => { source ? stop() : start(); show(); });
  let wasFollowing = false;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { wasFollowing = Boolean(source); stop(); } else if (wasFollowing) start();
  });
  addEventListener("pagehide", stop);
  if (!toggle) start();
  show();
}

// Moments

for (const slider of all("input[data-moments]")) {
  const shown = slider.form?.querySelector("output");
  const submit = slider.form?.querySelector("button");
  if (submit) submit.hidden = true;
  slider.addEventListener("input", () => { if (shown) shown.value = `#${slider.value}`; });
  slider.addEventListener("change", () => {
    const url = new URL(location.href);
    if (slider.value === slider.max) url.searchParams.delete("as_of");
    else url.searchParams.set("as_of", `#${slider.value}`);
    location.assign(url);
  });
}

// Lineage

for (const graph of all("[data-graph]")) draw(graph);

function draw(graph) {
  const svg = graph.querySelector("svg.lineage");
  const whole = { width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
  const shapes = new Map(all("a.shape", svg).map((shape) => [shape.id, shape]));
  const lines = all("path.line", svg);
  let view = { x: 0, y: 0, scale: 1 }; // the upper left corner, and pixels on the screen to one of the drawing

  graph.classList.add("is-live");
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  svg.style.maxHeight = `${Math.max(280, whole.height + 120)}px`; // a low drawing needs no high frame

  const size = () => svg.getBoundingClientRect();
  const show = () => {
    const { width, height } = size();
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${width / view.scale} ${height / view.scale}`);
  };
  const centre = (x, y, scale) => {
    const { width, height } = size();
    view = { x: x - width / scale / 2, y: y - height / scale / 2, scale };
    show();
  };
  const zoom = (factor, x = size().width / 2, y = size().height / 2) => {
    const scale = Math.min(4, Math.max(Math.min(0.05, fitting()), view.scale * factor));
    view = { x: view.x + x / view.scale - x / scale, y: view.y + y / view.scale - y / scale, scale };
    show();
  };
  const pan = (x, y) => { view.x -= x / view.scale; view.y -= y / view.scale; show(); };
  const fitting = () => Math.min(1.2, size().width / whole.width, size().height / whole.height);
  const fit = () => centre(whole.width / 2, whole.height / 2, fitting());
  const middle = (shape) => {
    const { x, y, width, height } = shape.getBBox();
    const { e, f } = shape.transform.baseVal.consolidate().matrix;
    return [e + x + width / 2, f + y + height / 2];
  };
  // All of it where that can be read; else the focus in the middle, readable.
  const open = () => (fitting() >= 0.75 ? fit() : centre(...middle(svg.querySelector(".focus")), size().width < 600 ? 0.8 : 0.95));

  // Whoever tabs to a shape has to see it.
  const reveal = (shape) => {
    const box = shape.getBoundingClientRect(), frame = size();
    if (box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom) centre(...middle(shape), view.scale);
  };

  const before = new Map(), after = new Map();
  for (const line of lines) {
    const { source, target } = line.dataset;
    after.set(source, [...(after.get(source) ?? []), target]);
    before.set(target, [...(before.get(target) ?? []), source]);
  }
  const reach = (from, ways) => {
    const found = new Set([from]);
    for (const id of found) for (const next of ways.get(id) ?? []) found.add(next); // a set grows while it is walked
    return found;
  };
  const trace = (shape) => {
    svg.classList.toggle("is-traced", Boolean(shape));
    const up = shape ? reach(shape.id, before) : new Set(), down = shape ? reach(shape.id, after) : new Set();
    for (const [id, other] of shapes) other.classList.toggle("is-lit", up.has(id) || down.has(id));
    for (const line of lines) {
      const { source, target } = line.dataset;
      line.classList.toggle("is-lit", (up.has(source) && up.has(target)) || (down.has(source) && down.has(target)));
    }
  };
  for (const shape of shapes.values()) {
    shape.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && !held.size) trace(shape); });
    shape.addEventListener("pointerleave", () => trace(null));
    shape.addEventListener("focus", () => { if (shape.matches(":focus-visible")) { reveal(shape); trace(shape); } });
    shape.addEventListener("blur", () => trace(null));
    shape.addEventListener("dragstart", (event) => event.preventDefault());
  }

  // One finger or the mouse drags, two fingers zoom; a click that was a drag is none.
  const held = new Map();
  let moved = 0;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    if (!held.size) moved = 0;
    held.set(event.pointerId, event);
  });
  svg.addEventListener("pointermove", (event) => {
    const last = held.get(event.pointerId);
    if (!last) return;
    const x = event.clientX - last.clientX, y = event.clientY - last.clientY;
    moved += Math.abs(x) + Math.abs(y);
    if (moved > 5 && !svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
    if (held.size === 2) {
      const [other] = [...held.entries()].filter(([id]) => id !== event.pointerId).map(([, value]) => value);
      const distance = (point) => Math.hypot(point.clientX - other.clientX, point.clientY - other.clientY) || 1;
      const frame = size();
      zoom(distance(event) / distance(last), (event.clientX + other.clientX) / 2 - frame.left, (event.clientY + other.clientY) / 2 - frame.top);
    }
    pan(x / held.size, y / held.size);
    held.set(event.pointerId, event);
    svg.classList.toggle("is-held", moved > 5);
  });
  const release = (event) => { held.delete(event.pointerId); svg.classList.remove("is-held"); };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
  svg.addEventListener("click", (event) => { if (moved > 5) event.preventDefault(); }, true);

  // The wheel scrolls the page, as it does everywhere, until one has taken hold of the drawing; with Ctrl it always zooms.
  let isTaken = false;
  svg.addEventListener("pointerdown", () => { isTaken = true; });
  document.addEventListener("pointerdown", (event) => { if (!graph.contains(event.target)) isTaken = false; });
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !isTaken) return;
    event.preventDefault();
    const frame = size();
    zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100) / 400), event.clientX - frame.left, event.clientY - frame.top);
  }, { passive: false });

  const keys = {
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), "0": fit, "f": open,
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
  };
  graph.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });

  const bar = document.createElement("div");
  bar.className = "keys";
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Zoom");
  for (const [text, name, act] of [["−", "Zoom out", keys["-"]], ["+", "Zoom in", keys["+"]], ["All", "Show all", fit], ["◎", "Back to this version", open]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small";
    button.textContent = text;
    button.title = name;
    button.setAttribute("aria-label", name);
    button.addEventListener("click", act);
    bar.append(button);
  }
  graph.prepend(bar);
  new ResizeObserver(show).observe(svg);
  open();
}
