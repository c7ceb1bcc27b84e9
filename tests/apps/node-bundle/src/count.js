/** How often each letter is in a text. */
export function count(text) {
  const letters = {};
  for (const c of text.replaceAll(' ', '')) letters[c] = (letters[c] ?? 0) + 1;
  return letters;
}
