"use strict";

// Notes live in memory: the service is an example, not a database.
function createStore() {
  const notes = [];
  return {
    all: () => notes.slice(),
    add(text) {
      const note = { id: notes.length + 1, text };
      notes.push(note);
      return note;
    },
  };
}

module.exports = { createStore };
