// Makes elements. Text is never read as markup, so names and messages of a sweep cannot change the page.

/** Makes an element with attributes and children; children that are nothing are left out. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== ""));
  return made;
}

/** Makes a list of notes; nothing without notes. */
function notes(all) {
  return all.length === 0 ? null : el("ul", { class: "notes" }, all.map((note) => el("li", {}, note)));
}

/** Makes a name that can stand in the address of the page. */
function anchor(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}
