const data = JSON.parse(document.getElementById("data").textContent);
const GROUPS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999"];
const CIVIDIS = ["#00224e", "#083370", "#35456c", "#4f576c", "#666970", "#7d7c78",
  "#948e77", "#aea371", "#c8b866", "#e5cf52", "#fee838"];
const PUOR = ["#2d004b", "#542788", "#8073ac", "#b2abd2", "#d8daeb", "#f7f7f7",
  "#fee0b6", "#fdb863", "#e08214", "#b35806", "#7f3b08"];  // negative values are purple

// What is chosen on the page; sections redraw themselves when it changes.
const chosen = { readout: 0, task: 0, sentence: 0, word: 0 };
const drawers = [];
function choose(changes) {
  if ("task" in changes && !("sentence" in changes)) {
    const own = data.sentences.findIndex((sentence) => sentence.task === data.tasks[changes.task]);
    if (own >= 0) changes = { ...changes, sentence: own, word: 0 };
  }
  Object.assign(chosen, changes);
  for (const draw of drawers) draw();
}

function element(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined) node.append(child);  // text is never read as HTML
  }
  return node;
}
const html = (tag, attributes, ...children) =>
  element(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  element(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function picture(width, height, label, ...children) {
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  return svg("svg", { ...size, role: "img", "aria-label": label }, ...children);
}
function section(title, about, ...children) {
  const text = about ? [].concat(about).map((line) => html("p", { class: "soft" }, line)) : [];
  return html("section", {}, html("h2", {}, title), text, children);
}

function parts(colour) {
  return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
}
function mixed(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  const [a, b] = [parts(stops[low]), parts(stops[low + 1])];
  return `rgb(${a.map((value, i) => Math.round(value + (place - low) * (b[i] - value))).join(",")})`;
}
const cividis = (share) => mixed(CIVIDIS, share);
const ink = (share) => (share > 0.55 ? "#000" : "#fff");

// Colours start at nothing, and not at the smallest value, else small differences would look like a result.
// Of signed values white is 0, and both signs go equally far. What reads as 0 is no reason for colour.
function tones(readout) {
  const weights = readout.weight.filter((_, e) => !lone(readout, e));
  const high = readout.most === null ? Math.max(1e-3, ...weights.map(Math.abs)) : readout.most;
  if (!readout.signed) return { low: 0, high, stops: CIVIDIS, colour: (v) => cividis(v / high), ink: (v) => ink(v / high) };
  return { low: -high, high, stops: PUOR, colour: (v) => mixed(PUOR, (v / high + 1) / 2),
    ink: (v) => (Math.abs(v) > 0.65 * high ? "#fff" : "#000") };
}
function shown(value) {
  if (Math.abs(value) < 5e-4) return "0";
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  return value.toFixed(size >= 0.095 ? 2 : 3).replace(/^(-?)0\./, "$1.").replace("-", "−");
}
// Edges whose receiver has other senders, too: a lone one always has all the weight.
const rivals = data.edges.map(([, receiver]) => data.edges.filter((edge) => edge[1] === receiver).length > 1);
const alone = (e) => rivals.includes(true) && !rivals[e];
const compared = (values) => values.filter((_, e) => !alone(e));
const lone = (readout, e) => readout.key === "attention" && alone(e);
const group = (node) => (data.clusters && node < data.clusters.length ? data.clusters[node] : 0);
const tint = (node) => (node < data.tasks.length ? GROUPS[group(node) % GROUPS.length] : "#444444");
const inkOn = (colour) => (["#e69f00", "#56b4e9", "#f0e442"].includes(colour) ? "#000" : "#fff");
// Tasks of a cluster stand side by side; virtual nodes come last.
const order = data.nodes.map((_, node) => node).sort((a, b) => {
  const rank = (node) => (node < data.tasks.length ? group(node) : 1e6);
  return rank(a) - rank(b) || a - b;
});

function scale(low, high, label, colours = CIVIDIS, width = 190) {
  const stops = colours.map((colour, i) =>
    svg("rect", { x: (i * width) / colours.length, width: width / colours.length + 0.6, y: 0,
      height: 10, fill: mixed(colours, i / (colours.length - 1)) }));
  const text = (x, anchor, words) =>
    svg("text", { x, y: 24, "text-anchor": anchor, "font-size": 12, class: "soft" }, words);
  return picture(width + 2, 30, `colours from ${shown(low)} to ${shown(high)}`, stops,
    text(0, "start", shown(low)), text(width / 2, "middle", label),
    text(width, "end", shown(high)));
}
// Under a picture, from where its cells begin, as far as there is room.
const under = (left, ...legend) =>
  html("div", { style: `margin:6px 0 0 min(${left}px, max(0px, 100% - 192px))` }, legend);
function taskMenu(label) {
  const menu = html("select", { "aria-label": label,
    onchange: (event) => choose({ task: Number(event.target.value) }) },
    data.asked.map((k) => html("option", { value: k }, data.tasks[k])));
  drawers.push(() => { menu.value = String(chosen.task); });
  return menu;
}
