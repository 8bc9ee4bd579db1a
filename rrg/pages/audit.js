(() => {
  const groups = [...document.querySelectorAll(".verdict")];
  const entries = [...document.querySelectorAll("nav a")];
  if (!groups.length) return;
  const verdicts = new Map();
  const name = `rrg-audit:${groups.map((group) => group.dataset.row.split(",", 1)[0]).join("")}`;
  const signs = { right: "✓", wrong: "✗", unclear: "?" };
  let saved = true;

  const keep = () => {
    try {
      localStorage.setItem(name, JSON.stringify([...verdicts]));
    } catch {
      // private windows keep nothing: the file that is saved counts
    }
  };
  const paint = () => {
    groups.forEach((group, i) => {
      const verdict = verdicts.get(i);
      group.querySelectorAll("button").forEach((button) => {
        button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
      });
      if (verdict) entries[i].dataset.judged = signs[verdict];
      else delete entries[i].dataset.judged;
    });
    document.getElementById("judged").textContent = `${verdicts.size} / ${groups.length}`;
  };
  const judge = (i, verdict) => {
    if (verdicts.get(i) === verdict) verdicts.delete(i);
    else verdicts.set(i, verdict);
    saved = false;
    keep();
    paint();
  };
  const csv = () => {
    const lines = groups.map((group, i) => `${group.dataset.row},${verdicts.get(i) ?? ""}`);
    return `${[groups[0].dataset.head, ...lines].join("\n")}\n`;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-verdict]");
    if (button) judge(groups.indexOf(button.closest(".verdict")), button.dataset.verdict);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const verdict = { y: "right", n: "wrong", u: "unclear" }[event.key.toLowerCase()];
    const group = document.querySelector(".slice.current .verdict");
    if (!verdict || !group) return;
    event.preventDefault();
    const i = groups.indexOf(group);
    judge(i, verdict);
    if (verdicts.has(i) && i + 1 < groups.length) document.querySelector('[data-step="1"]').click();
  });
  document.getElementById("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "audit.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    saved = true;
  });
  window.addEventListener("beforeunload", (event) => {
    if (!saved) event.preventDefault();
  });
  try {
    for (const [i, verdict] of JSON.parse(localStorage.getItem(name) ?? "[]")) verdicts.set(i, verdict);
  } catch {
    verdicts.clear();
  }
  paint();
})();
