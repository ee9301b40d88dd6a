// Shows the datasets whose name or facts contain the text of the filter.

const filter = document.getElementById("dataset-filter");
const count = document.getElementById("count");

if (filter) {
  const cards = [...document.querySelectorAll("#datasets > article")];
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    for (const card of cards) {
      const text = card.textContent.toLowerCase();
      card.hidden = !words.every((word) => text.includes(word));
      number += card.hidden ? 0 : 1;
    }
    count.textContent = `${number} of ${cards.length} ${cards.length === 1 ? "dataset" : "datasets"}`;
  };
  filter.addEventListener("input", show);
  show();
}
