
"use strict";
(() => {
  const root = document.documentElement;
  const main = document.querySelector("main");
  const sections = [...main.querySelectorAll(".slice")];
  const drafts = [...main.querySelectorAll(".draft")];
  const entries = [...document.querySelectorAll("nav a")];
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  let at = 0;
  let pinned = null;
  root.classList.add("js");

  const show = (number, focus, quiet) => {
    if (!sections.length) return;
    at = Math.min(Math.max(number, 0), sections.length - 1);
    sections.forEach((section, i) => section.classList.toggle("current", i === at));
    entries.forEach((entry, i) => entry.setAttribute("aria-current", String(i === at)));
    const now = sections[at].id;
    drafts.forEach((draft) => draft.classList.toggle("current", draft.dataset.sections.split(" ").includes(now)));
    all(".draft li").forEach((line) => line.classList.toggle("here", line.dataset.slices.split(" ").includes(now)));
    document.getElementById("position").textContent = `${at + 1} / ${sections.length}`;
    const item = entries[at].parentElement;
    const list = item.parentElement;
    list.scrollTop = item.offsetTop - (list.clientHeight - item.clientHeight) / 2;
    list.scrollLeft = item.offsetLeft - (list.clientWidth - item.clientWidth) / 2;
    if (main.classList.contains("all")) sections[at].scrollIntoView({ block: "start" });
    if (focus) sections[at].focus({ preventScroll: true });
    if (!quiet) history.replaceState(null, "", `#${sections[at].id}`);
  };

  const activate = (section, card) => {
    all(".card", section).forEach((each) => each.classList.toggle("active", each.dataset.card === card));
    all("svg g", section).forEach((each) => each.classList.toggle("active", each.dataset.card === card));
  };

  const light = (section, names) => {
    all("[data-m]", section).forEach((each) => each.classList.toggle("on", names.includes(each.dataset.m)));
    all(".sentence", section).forEach((each) => {
      const links = each.dataset.links.split(" ");
      each.classList.toggle("near", names.some((name) => links.includes(name)));
    });
    all(".draft li").forEach((line) => {
      const cites = line.dataset.cites.split(" ");
      line.classList.toggle("near", names.some((name) => cites.includes(`${section.id}:${name}`)));
    });
  };

  const cited = (line, section) => line.dataset.cites.split(" ")
    .filter((cite) => cite.startsWith(`${section.id}:`)).map((cite) => cite.slice(section.id.length + 1));
  const follow = (line, go) => {
    const slices = line.dataset.slices.split(" ").filter(Boolean);
    if (!slices.length || !sections.length) return;
    const here = slices.indexOf(sections[at].id);
    if (go && (here < 0 || slices.length > 1)) {
      show(sections.findIndex((section) => section.id === slices[(here + 1) % slices.length]));
    }
    const section = sections[at];
    const names = cited(line, section);
    if (names.length) activate(section, String(Number.parseInt(names[0], 10)));
    if (go) pinned = names.length ? { section, names } : null;
    light(section, names);
    line.classList.add("near");
  };

  const meant = (target) => {
    const own = target.closest("[data-m]");
    if (own) return [own.dataset.m];
    const sentence = target.closest(".sentence");
    return sentence ? sentence.dataset.links.split(" ").filter(Boolean) : [];
  };

  const point = (event) => {
    const line = event.target.closest(".draft li");
    if (line) follow(line, false);
    const section = event.target.closest(".slice");
    if (!section) return;
    const card = event.target.closest(".card");
    if (card) activate(section, card.dataset.card);
    const names = meant(event.target);
    light(section, names.length ? names : pinned && pinned.section === section ? pinned.names : []);
  };
  main.addEventListener("pointerover", point);
  main.addEventListener("focusin", point);
  main.addEventListener("pointerleave", () => sections.forEach((section) => {
    light(section, pinned && pinned.section === section ? pinned.names : []);
  }));
  main.addEventListener("click", (event) => {
    const line = event.target.closest(".draft li");
    if (line) {
      follow(line, true);
      return;
    }
    const names = meant(event.target);
    const section = event.target.closest(".slice");
    pinned = names.length && section ? { section, names } : null;
    point(event);
  });

  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const speak = (lang) => {
    root.dataset.ui = lang;
    root.lang = lang;
    all("[data-lang]").forEach((button) => press(button, button.dataset.lang === lang));
  };
  const look = (name) => {
    root.dataset.window = name;
    all("button[data-window]").forEach((button) => press(button, button.dataset.window === name));
  };
  const toggle = (what) => {
    const button = document.querySelector(`[data-toggle="${what}"]`);
    const on = button.getAttribute("aria-pressed") !== "true";
    press(button, on);
    if (what === "boxes") main.classList.toggle("every-box", on);
    if (what === "reference") main.classList.toggle("no-reference", !on);
    if (what === "all") {
      main.classList.toggle("all", on);
      show(at);
    }
  };
  const windows = all("button[data-window]").map((button) => button.dataset.window);
  document.querySelector(".tools").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.step) show(at + Number(button.dataset.step));
    if (button.dataset.lang) speak(button.dataset.lang);
    if (button.dataset.window) look(button.dataset.window);
    if (button.dataset.toggle) toggle(button.dataset.toggle);
  });
  document.querySelector("nav").addEventListener("click", (event) => {
    const entry = event.target.closest("a");
    if (!entry) return;
    event.preventDefault();
    show(entries.indexOf(entry), true);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 1, PageUp: -1 }[event.key];
    if (step) show(at + step, true);
    else if (event.key === "Home") show(0, true);
    else if (event.key === "End") show(sections.length - 1, true);
    else if (windows[Number(event.key) - 1]) look(windows[Number(event.key) - 1]);
    else if (event.key.toLowerCase() === "l") speak(root.dataset.ui === "de" ? "en" : "de");
    else if (event.key.toLowerCase() === "b") toggle("boxes");
    else if (event.key.toLowerCase() === "r") toggle("reference");
    else if (event.key.toLowerCase() === "a") toggle("all");
    else if (event.key === "Enter" && event.target.closest(".draft li")) follow(event.target.closest(".draft li"), true);
    else if (event.key === "Enter" && meant(event.target).length) event.target.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    else if (event.key === "Escape") {
      pinned = null;
      sections.forEach((section) => light(section, []));
    } else return;
    event.preventDefault();
  });

  if (!document.querySelector(".window.soft")) document.querySelector(".windows").hidden = true;
  if (!document.querySelector(".card .reference")) document.querySelector(".has-reference").hidden = true;
  sections.forEach((section) => {
    const boxes = section.querySelector("svg g.answer") || section.querySelector("svg g");
    activate(section, boxes ? boxes.dataset.card : "0");
  });
  speak(root.dataset.ui);
  show(Math.max(sections.findIndex((section) => `#${section.id}` === location.hash), 0), false, true);
})();
