// Texts of the store as they are shown.

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escaped(character) {
  if (character === "\n" || character === "\t") return character;
  const code = character.codePointAt(0);
  const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${letter}${code.toString(16).padStart(digits, "0")}`;
}

// The text with control, bidirectional and zero-width characters as escapes, as pages from the server have it: they
// could show a name as another one. Only for what is shown; values for requests stay as they are.
export function visible(text) {
  return String(text).replace(INVISIBLE, escaped);
}
