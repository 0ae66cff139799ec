import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { KEY, Unsent } from "../assets/memory.js";

function storage() {
  const values = new Map();
  return { values, getItem: (key) => values.get(key) ?? null, setItem: (key, value) => values.set(key, value), removeItem: (key) => values.delete(key) };
}

let tab, shared;
const file = (name, key, more = {}) => ({ name, bytes: 1000, modified: 7, key, ...more });
const visit = (ofTab = tab) => {
  const unsent = new Unsent(() => ofTab, () => shared);
  unsent.take();
  return unsent;
};
const names = ({ left }) => left.map(({ name }) => name);

beforeEach(() => {
  [tab, shared] = [storage(), storage()];
});

test("a reload finds the files that were not sent, until they are chosen again", () => {
  visit().keep([file("a.jpg", "1"), file("b.jpg", "2")], true);
  const second = visit();
  assert.deepEqual(names(second), ["a.jpg", "b.jpg"]);
  second.keep([file("c.jpg", "3")], true);
  const third = visit();
  assert.deepEqual(names(third), ["a.jpg", "b.jpg", "c.jpg"]);
  for (const name of ["a.jpg", "b.jpg", "c.jpg"]) third.claim(file(name, "new"));
  third.keep([], true);
  assert.deepEqual([names(visit()), tab.values.size, shared.values.size], [[], 0, 0]);
});

test("after the tab is closed another one finds them, and a third one does not", () => {
  visit().keep([file("a.jpg", "1")], true);
  assert.deepEqual(names(visit(storage())), ["a.jpg"]);
  assert.deepEqual(names(visit(storage())), []);
});

test("a tab that goes on leaves what another one left", () => {
  const other = visit(storage());
  visit().keep([file("a.jpg", "1")], true);
  other.keep([file("b.jpg", "2")], true);
  other.keep([file("b.jpg", "2")], false);
  assert.deepEqual(names(visit(storage())), ["a.jpg"]);
});

test("a page that is open keeps its files from other tabs", () => {
  const open = visit();
  open.keep([file("a.jpg", "1")], false);
  assert.deepEqual(names(visit(storage())), []);
});

test("a file that is chosen again keeps its key only if size and time are the same", () => {
  visit().keep([file("a.jpg", "1"), file("a.jpg", "2", { bytes: 9 }), file("b.jpg", "3")], true);
  const unsent = visit();
  assert.equal(unsent.claim(file("a.jpg", "new", { bytes: 9 })), "2");
  assert.equal(unsent.claim(file("b.jpg", "new", { modified: 8 })), "new");
  assert.equal(unsent.claim(file("c.jpg", "new")), "new");
  assert.deepEqual(names(unsent), ["a.jpg"]);
});

test("forbidden storage and invalid content count as nothing", () => {
  const forbidden = () => {
    throw new Error("forbidden");
  };
  const unsent = new Unsent(forbidden, forbidden);
  unsent.take();
  unsent.keep([file("a.jpg", "1")], true);
  assert.deepEqual(unsent.left, []);
  for (const invalid of ["{", "7", '[null,{"name":1}]']) {
    tab.setItem(KEY, invalid);
    assert.deepEqual(names(visit()), []);
  }
});
