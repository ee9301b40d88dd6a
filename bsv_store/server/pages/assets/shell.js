// What every page has: the theme switch, figures in its theme, and buttons that copy text.

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return root.dataset.theme ?? (dark.matches ? "dark" : "light");
}

function remember(name) {
  try {
    localStorage.setItem("bsv-store-theme", name);
  } catch (error) {
    // Storage may be blocked; the choice then holds for this page.
    console.debug(error);
  }
}

// Without scripts, their dark source follows the system.
function showFigures() {
  for (const source of document.querySelectorAll("picture > source")) {
    source.media = theme() === "dark" ? "all" : "not all";
  }
}
document.addEventListener("themechange", showFigures);
showFigures();

const button = document.getElementById("theme");
if (button) {
  const show = () => {
    const other = theme() === "dark" ? "light" : "dark";
    button.dataset.other = other;
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
    button.title = `Switch to the ${other} theme`;
  };
  button.addEventListener("click", () => {
    root.dataset.theme = button.dataset.other;
    remember(root.dataset.theme);
    show();
    document.dispatchEvent(new CustomEvent("themechange"));
  });
  dark.addEventListener("change", () => {
    show();
    document.dispatchEvent(new CustomEvent("themechange"));
  });
  show();
  button.hidden = false;
}

// Text for screen readers, such as "Copied".
const status = document.createElement("div");
status.className = "unseen";
status.setAttribute("role", "status");
document.body.append(status);

export function announce(text) {
  status.textContent = "";
  // A change after a pause is read even if the text is the same.
  setTimeout(() => { status.textContent = text; }, 60);
}

export async function copyText(text) {
  // The clipboard is only there on https and on this computer.
  if (navigator.clipboard && isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not allow it");
}

// A button with data-copy copies the text of the element with that id.
document.addEventListener("click", async (event) => {
  const pressed = event.target.closest("button[data-copy]");
  if (!pressed) return;
  const words = pressed.dataset.words ?? pressed.textContent;
  pressed.dataset.words = words;
  try {
    await copyText(document.getElementById(pressed.dataset.copy).textContent.trim());
    pressed.textContent = "Copied";
    announce("Copied");
  } catch (error) {
    pressed.textContent = "Select and copy";
    console.debug(error);
  }
  setTimeout(() => { pressed.textContent = words; }, 1600);
});

// The prefix of the application, for addresses in scripts.
export const base = root.dataset.base ?? "";
