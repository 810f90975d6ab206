"use strict";
// Everything shown is set as text, never as markup: names and labels are anybody's.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
const percent = (share) => (share === null || share === undefined ? "" : `${(100 * share).toFixed(1)} %`);
const short = (label) => label.split(", ")[0]; // of ImageNet's several names for a class, the first
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
