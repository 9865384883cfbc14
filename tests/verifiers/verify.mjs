// Check exported logs with nothing but what Node has: its Ed25519, its SHA-256, and the trees of RFC 6962 written here.
//
//   node verify.mjs CASES.json
//
// CASES.json is what test_independent_verifiers.py writes. On standard output: what was refused though it is as it was
// published, what was accepted though a bit of it was changed, and how much of both was tried.

import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const TILE_WIDTH = 256;
// Of each hash of a proof a few bits, and of the entries a sample: this is slower than the check in Go.
const CHANGES_OF_A_HASH = 24;
const CHANGES_OF_ENTRIES = 96;
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leafHash = (entry) => sha256(Buffer.of(0), entry);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);

function largestPowerOfTwoBelow(count) {
  let power = 1;
  while (2 * power < count) power *= 2;
  return power;
}

// RFC 6962, section 2.1, as it stands there.
function rootOf(hashes) {
  if (hashes.length === 0) return sha256(Buffer.alloc(0));
  if (hashes.length === 1) return hashes[0];
  const split = largestPowerOfTwoBelow(hashes.length);
  return nodeHash(rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)));
}

// Section 2.1.1, read backwards: the last hash of a path is that of the other half of the whole tree.
function rootOfPath(leaf, index, size, path) {
  if (size === 1) return path.length === 0 ? leaf : null;
  if (path.length === 0) return null;
  const split = largestPowerOfTwoBelow(size);
  const rest = path.slice(0, -1);
  const other = path[path.length - 1];
  if (index < split) {
    const left = rootOfPath(leaf, index, split, rest);
    return left && nodeHash(left, other);
  }
  const right = rootOfPath(leaf, index - split, size - split, rest);
  return right && nodeHash(other, right);
}

// Section 2.1.2, read backwards: the older root and the newer one that a path between two sizes makes of the older.
function rootsOfPath(oldSize, size, path, isWhole, oldRoot) {
  if (oldSize === size) {
    if (isWhole) return path.length === 0 ? [oldRoot, oldRoot] : null;
    return path.length === 1 ? [path[0], path[0]] : null;
  }
  if (path.length === 0) return null;
  const split = largestPowerOfTwoBelow(size);
  const rest = path.slice(0, -1);
  const other = path[path.length - 1];
  if (oldSize <= split) {
    const found = rootsOfPath(oldSize, split, rest, isWhole, oldRoot);
    return found && [found[0], nodeHash(found[1], other)];
  }
  const found = rootsOfPath(oldSize - split, size - split, rest, false, oldRoot);
  return found && [nodeHash(other, found[0]), nodeHash(other, found[1])];
}

function readKey(text) {
  const [, name, encoded] = text.match(/^([^+]+)\+[0-9a-f]{8}\+(.+)$/);
  const content = Buffer.from(encoded, "base64");
  if (content[0] !== 1 || content.length !== 33) throw new Error("not an Ed25519 key");
  const id = sha256(name, "\n", content).subarray(0, 4);
  const jwk = { kty: "OKP", crv: "Ed25519", x: content.subarray(1).toString("base64url") };
  const key = createPublicKey({ key: jwk, format: "jwk" });
  return { name, id, key };
}

// Return the bytes that a signature line has for this key, or null where it is none, or another's.
function signatureIn(line, known) {
  const found = line.match(/^\u2014 ([^ ]+) ([^ ]+)$/);
  if (!found || found[1] !== known.name) return null;
  const content = Buffer.from(found[2], "base64");
  const isOurs = content.toString("base64") === found[2] && content.subarray(0, 4).equals(known.id);
  return isOurs ? content.subarray(4) : null;
}

// Return the size and the root that a checkpoint says, or null unless it is one and this key signed it.
function readCheckpoint(content, known) {
  const text = content.toString("utf8");
  if (!Buffer.from(text, "utf8").equals(content)) return null;
  const found = text.match(/^(([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n)\n(([^\n]+\n)+)$/);
  if (!found || found[2] !== known.name) return null;
  const [, body, , size, root, lines] = found;
  const signatures = lines.trimEnd().split("\n").map((line) => signatureIn(line, known));
  const signature = signatures.find((one) => one !== null);
  if (!signature || !verify(null, Buffer.from(body, "utf8"), known.key, signature)) return null;
  return { size: Number(size), root: Buffer.from(root, "base64") };
}

function entriesOf(bundle) {
  const entries = [];
  for (let at = 0; at < bundle.length; ) {
    if (at + 2 > bundle.length) return null;
    const end = at + 2 + bundle.readUInt16BE(at);
    if (end > bundle.length) return null;
    entries.push(bundle.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

function readBundles(folder, size) {
  const bundles = [];
  for (let number = 0; number * TILE_WIDTH < size; number++) {
    const width = Math.min(TILE_WIDTH, size - number * TILE_WIDTH);
    const name = String(number).padStart(3, "0") + (width < TILE_WIDTH ? `.p/${width}` : "");
    if (number >= 1000) throw new Error("this check knows names of three digits");
    bundles.push({ width, content: readFileSync(join(folder, "tile", "entries", name)) });
  }
  return bundles;
}

// The root over the entries of one bundle, or null where they are not as many as there should be.
function rootOfBundle({ width, content }) {
  const entries = entriesOf(content);
  return entries && entries.length === width ? rootOf(entries.map(leafHash)) : null;
}

// Each single bit of some bytes changed in turn; or up to limit of them, evenly spread, in each file other ones.
function* changes(content, limit = Infinity, file = 0) {
  // Odd, so that it meets every bit of a byte.
  const step = 8 * content.length > limit ? Math.floor((8 * content.length) / limit) | 1 : 1;
  for (let bit = (file * 997) % step; bit < 8 * content.length; bit += step) {
    content[bit >> 3] ^= 1 << (bit & 7);
    yield bit;
    content[bit >> 3] ^= 1 << (bit & 7);
  }
}

const report = { accepted: {}, refused: {}, wrongly_refused: [], wrongly_accepted: [] };

function mustAccept(folder, what, isAccepted) {
  if (isAccepted) report.accepted[what] = (report.accepted[what] ?? 0) + 1;
  else report.wrongly_refused.push({ folder, what, bit: -1 });
}

function mustRefuse(folder, what, bit, isAccepted) {
  if (isAccepted) report.wrongly_accepted.push({ folder, what, bit });
  else report.refused[what] = (report.refused[what] ?? 0) + 1;
}

const isRoot = (found, expected) => Boolean(found) && found.equals(expected);

function checkLog(log, known) {
  const checkpoint = Buffer.from(log.checkpoint);
  const head = readCheckpoint(checkpoint, known);
  mustAccept(log.folder, "checkpoint", head !== null);
  if (head === null) return;
  for (const bit of changes(checkpoint)) {
    mustRefuse(log.folder, "checkpoint", bit, readCheckpoint(checkpoint, known) !== null);
  }
  const published = readCheckpoint(readFileSync(join(log.folder, "checkpoint")), known);
  mustAccept(log.folder, "published checkpoint", published?.size === head.size && isRoot(published.root, head.root));

  const bundles = readBundles(log.folder, head.size);
  const roots = bundles.map(rootOfBundle);
  mustAccept(log.folder, "root of the entries", roots.every((root) => root !== null) && isRoot(rootOf(roots), head.root));
  const changesOfABundle = bundles[0].width < 3 ? Infinity : Math.max(1, CHANGES_OF_ENTRIES / bundles.length);
  bundles.forEach((bundle, number) => {
    for (const bit of changes(bundle.content, changesOfABundle, number)) {
      const root = rootOfBundle(bundle);
      const changed = root && rootOf([...roots.slice(0, number), root, ...roots.slice(number + 1)]);
      mustRefuse(log.folder, "bundle of entries", bit, isRoot(changed, head.root));
    }
  });

  for (const one of log.inclusion) {
    const leaf = leafHash(Buffer.from(one.entry, "base64"));
    const path = one.path.map((step) => Buffer.from(step, "base64"));
    const isIncluded = () => isRoot(rootOfPath(leaf, one.index, head.size, path), head.root);
    mustAccept(log.folder, "inclusion", isIncluded());
    for (const step of [leaf, ...path]) {
      for (const bit of changes(step, CHANGES_OF_A_HASH)) mustRefuse(log.folder, "inclusion", bit, isIncluded());
    }
  }

  for (const one of log.consistency) {
    const old = readCheckpoint(Buffer.from(one.old_checkpoint), known);
    const path = one.path.map((step) => Buffer.from(step, "base64"));
    const isConsistent = () => {
      const found = rootsOfPath(old.size, head.size, path, true, old.root);
      return found !== null && found[0].equals(old.root) && found[1].equals(head.root);
    };
    mustAccept(log.folder, "consistency", old !== null && isConsistent());
    for (const step of [old.root, ...path]) {
      for (const bit of changes(step, CHANGES_OF_A_HASH)) mustRefuse(log.folder, "consistency", bit, isConsistent());
    }
  }
}

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
const known = readKey(cases.key);
for (const log of cases.logs) checkLog(log, known);
console.log(JSON.stringify(report));
