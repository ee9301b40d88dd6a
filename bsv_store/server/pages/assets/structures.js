// Shows the structures whose acronym or name contains the text of the filter, with their ancestors.

const filter = document.getElementById("structure-filter");
const injected = document.getElementById("injected");
const count = document.getElementById("count");
const tree = document.getElementById("tree");

if (tree) {
  const items = [...tree.querySelectorAll("li")].map((item) => {
    const line = item.querySelector("summary") ?? item.querySelector(".leaf");
    const own = `${line.querySelector("b").textContent} ${line.querySelector(".name").textContent}`;
    return {
      item,
      text: own.toLowerCase(),
      details: item.querySelector(":scope > details"),
      hasExperiments: item.querySelector(":scope > a, :scope > .leaf > a") !== null,
    };
  });
  const open = items.filter(({ details }) => details?.open);

  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const isFiltered = words.length > 0 || injected.checked;
    let number = 0;
    // From the leaves up, so that ancestors of what is found stay.
    for (const { item, text, details, hasExperiments } of items.toReversed()) {
      const isFound = words.every((word) => text.includes(word)) && (hasExperiments || !injected.checked);
      const hasFound = details !== null && [...details.lastElementChild.children].some((child) => !child.hidden);
      number += isFound ? 1 : 0;
      item.hidden = isFiltered && !isFound && !hasFound;
      if (details && words.length > 0) details.open = hasFound;
    }
    if (words.length === 0) for (const { details } of items) if (details) details.open = false;
    if (words.length === 0) for (const { details } of open) details.open = true;
    count.textContent = `${number.toLocaleString("en")} of ${items.length.toLocaleString("en")} structures`;
  };
  filter.addEventListener("input", show);
  injected.addEventListener("change", show);
  show();
}
