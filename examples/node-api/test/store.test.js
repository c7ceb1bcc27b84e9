"use strict";

const assert = require("node:assert");
const test = require("node:test");
const { createStore } = require("../lib/store");

test("a note that was added is listed", () => {
  const notes = createStore();
  notes.add("milk");
  assert.deepStrictEqual(notes.all(), [{ id: 1, text: "milk" }]);
});
