// ms writes "2 days"; our readers want "2 Tage".
const fs = require('fs');
const file = require.resolve('ms');
const before = fs.readFileSync(file, 'utf8');
const after = before.replace("plural(ms, msAbs, d, 'day')", "plural(ms, msAbs, d, 'Tag')")
  .replace("name + (isPlural ? 's' : '')", "name + (isPlural ? 'e' : '')");
if (after === before) {
  throw new Error('ms has changed: look at patches/apply.js');
}
fs.writeFileSync(file, after);
