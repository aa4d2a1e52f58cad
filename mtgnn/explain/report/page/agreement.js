// Do two readouts order the senders of each receiver alike?
function strip(agreement) {
  const width = 240, place = (value) => 8 + ((value + 1) / 2) * (width - 16);
  const tick = (value, text) => [
    svg("line", { x1: place(value), x2: place(value), y1: 2, y2: 20, stroke: "#d9dee4" }),
    svg("text", { x: place(value), y: 32, "text-anchor": "middle", "font-size": 11, class: "soft" }, text)];
  const dots = Object.entries(agreement.by_receiver).map(([name, value]) => {
    const picked = name === data.tasks[chosen.task];
    return svg("circle", { cx: place(value), cy: 11, r: picked ? 6 : 5, fill: picked ? "#d55e00" : "#0072b2",
      "fill-opacity": picked ? 1 : 0.55 }, svg("title", {}, `${name}: ${shown(value)}`));
  });
  return picture(width, 36, `rank correlations, mean ${shown(agreement.mean)}`, tick(-1, "−1"),
    tick(0, "0"), tick(1, "1"),
    svg("line", { x1: place(-1), x2: place(1), y1: 11, y2: 11, stroke: "#d9dee4" }), dots);
}

function agreementTable() {
  const rows = data.agreements.map((agreement) => html("tr", {}, html("td", { class: "number" }, agreement.pair),
    html("td", { class: "number" }, agreement.mean === null ? `none: ${agreement.why}`
      : shown(agreement.mean) + (agreement.spread === null ? "" : ` (± ${shown(agreement.spread)})`)),
    html("td", {}, agreement.mean === null ? "" : strip(agreement))));
  return html("table", { class: "wrapping" }, html("tr", {}, html("th", {}, "readouts"),
    html("th", {}, "mean (spread)"), html("th", {}, "each receiver")), rows);
}

// Attention to the right, ablation upwards; a dot for each edge.
function scatter() {
  const [first, second] = ["attention", "ablation"].map((key) => data.readouts.find((r) => r.key === key));
  const width = 460, height = 320, [left, bottom] = [64, 46];
  // Both axes have 0 on them: an axis from the smallest to the largest value makes much of nothing.
  const [risen, fallen] = [1, -1].map((sign) => Math.max(0, ...compared(second.weight).map((v) => sign * v)));
  const xs = [0, tones(first).high], ys = [-fallen, Math.max(risen, 1e-3 - fallen)];
  const x = (v) => left + ((v - xs[0]) / (xs[1] - xs[0])) * (width - left - 24) + 8;
  const y = (v) => height - bottom - ((v - ys[0]) / (ys[1] - ys[0])) * (height - bottom - 26) - 8;
  const dots = data.edges.map(([sender, receiver], e) => [receiver === chosen.task, sender, receiver, e])
    .filter((dot) => rivals[dot[3]]);
  dots.sort((a, b) => a[0] - b[0]);
  const marks = dots.map(([picked, sender, receiver, e]) => {
    const [cx, cy] = [x(first.weight[e]), y(second.weight[e])];
    const near = sender < data.tasks.length && receiver < data.tasks.length && group(sender) === group(receiver);
    const colour = picked ? "#d55e00" : near ? "#0072b2" : "#5b6470";
    const label = `${data.nodes[receiver]} ← ${data.nodes[sender]}: ${shown(first.weight[e])}, ${shown(second.weight[e])}`;
    return svg("circle", { cx, cy, r: 5, stroke: colour, "stroke-width": 1.6,
      fill: near ? colour : "#fff", "fill-opacity": near ? 0.8 : 0.6 }, svg("title", {}, label));
  });
  const text = (attributes, words) => svg("text", { "font-size": 12, class: "soft", ...attributes }, words);
  const end = { "text-anchor": "end" };
  const apart = ys[0] === 0 || y(ys[0]) - y(0) > 14;  // else the number at the end would hide the 0
  const axes = [
    svg("path", { d: `M${left} 10 V${height - bottom} H${width - 6}`, fill: "none", stroke: "#aab3bd" }),
    ys[0] < 0 && ys[1] > 0 ? svg("line", { x1: left, x2: width - 6, y1: y(0), y2: y(0), stroke: "#aab3bd",
      "stroke-dasharray": "3 4" }) : null,
    text({ x: left, y: height - bottom + 16 }, shown(xs[0])), text({ x: width - 14, y: height - bottom + 16, ...end }, shown(xs[1])),
    text({ x: left - 6, y: 20, ...end }, shown(ys[1])), apart ? text({ x: left - 6, y: height - bottom, ...end }, shown(ys[0])) : null,
    ys[0] < 0 && ys[1] > 0 ? text({ x: left - 6, y: y(0) + 4, ...end }, "0") : null,
    text({ x: (left + width) / 2, y: height - 12, "text-anchor": "middle" }, "attention"),
    text({ transform: `translate(16 ${(height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "rise of the loss"),
  ];
  return picture(width, height, "attention against ablation of each edge", axes, marks);
}

function agreementSection() {
  const table = html("div"), plot = html("div");
  drawers.push(() => {
    table.replaceChildren(agreementTable());
    plot.replaceChildren(scatter());
  });
  const about = ["Attention that does not order the senders as cutting their edges does is no explanation of what "
    + "the model gets right. Spearman's rank correlation over the senders of each receiver: 1 the same order, 0 none."];
  const senders = data.nodes.map((_, node) => data.edges.filter((edge) => edge[1] === node).length);
  if (senders.includes(2)) about.push("Two senders are in the same order or in the reverse one: 1 or −1, whatever was learned. So they are left out.");
  const key = data.clusters ? "A dot for each edge; filled: within a cluster, hollow: between clusters." : "A dot for each edge.";
  return section("Does attention say what matters?", about, html("div", { class: "row" },
    html("div", {}, plot, html("p", { class: "soft" }, key)), table));
}
