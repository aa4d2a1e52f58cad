// The task graph as a circle; an arrow leads to who listens.
function graphPicture() {
  const size = 460, radius = 160;
  // Names beside the circle are not cut off, however long.
  const beside = 30 + 7.8 * Math.max(...data.tasks.map((name) => name.length));
  const width = Math.max(size, 2 * (radius + beside)), middle = [width / 2, size / 2];
  const readout = data.readouts[chosen.readout];
  const ring = order.filter((node) => node < data.tasks.length);
  const virtual = order.filter((node) => node >= data.tasks.length);
  const spot = {};
  ring.forEach((node, i) => {
    const angle = (2 * Math.PI * i) / ring.length - Math.PI / 2;
    spot[node] = [middle[0] + radius * Math.cos(angle), middle[1] + radius * Math.sin(angle)];
  });
  virtual.forEach((node, i) => {
    spot[node] = [middle[0] + 50 * (i - (virtual.length - 1) / 2), middle[1]];
  });
  // Where the bar is unknown, nothing is above it.
  const above = readout.weight.map((weight, e) => (readout.bar[e] === null ? 0 : weight - readout.bar[e]));
  // Not by the largest excess, which may be next to nothing: at twice equal attention an edge has its full width,
  // and so has a lone sender; by another readout at the end of the scale.
  const { high } = tones(readout);
  const full = readout.bar.map((bar) => (readout.key === "attention" ? bar || 1 : high));
  const drawn = data.edges.map((edge, e) => [e, edge, Math.min(1, above[e] / full[e])]).filter((x) => x[2] > 0);
  drawn.sort((a, b) => (a[1][1] === chosen.task) - (b[1][1] === chosen.task) || a[2] - b[2]);
  const arrows = drawn.map(([e, [sender, receiver], share]) =>
    arrow(spot[sender], spot[receiver], share, receiver === chosen.task,
      `${data.nodes[receiver]} listens to ${data.nodes[sender]}: ${shown(readout.weight[e])}`));
  const nodes = data.nodes.map((name, node) => knot(name, node, spot[node], middle));
  return picture(width, size, `task graph by ${readout.name}`, arrows, nodes);
}

function arrow([x1, y1], [x2, y2], share, picked, label) {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  // Bent to one side, so that both directions of a pair are seen.
  const [mx, my] = [(x1 + x2) / 2 - 0.16 * length * uy, (y1 + y2) / 2 + 0.16 * length * ux];
  const towards = Math.hypot(x2 - mx, y2 - my) || 1;
  const [tx, ty] = [(x2 - mx) / towards, (y2 - my) / towards];
  const width = 0.8 + 4.2 * share ** 1.3, head = 6 + 1.4 * width;
  const [ex, ey] = [x2 - 17 * tx, y2 - 17 * ty];
  const [bx, by] = [ex - head * tx, ey - head * ty];
  const colour = picked ? "#d55e00" : "#33475b", opacity = picked ? 0.4 + 0.55 * share : 0.15 + 0.55 * share;
  const half = head * 0.5;
  return svg("g", { opacity }, svg("title", {}, label),
    svg("path", { d: `M${x1} ${y1} Q${mx} ${my} ${bx} ${by}`, fill: "none", stroke: colour,
      "stroke-width": width }),
    svg("path", { d: `M${ex} ${ey} L${bx - half * ty} ${by + half * tx} L${bx + half * ty} ${by - half * tx}Z`,
      fill: colour }));
}

function knot(name, node, [x, y], [mx, my]) {
  const task = node < data.tasks.length;
  const side = Math.abs(x - mx) < 30 ? "middle" : x < mx ? "end" : "start";
  // Farther out above and below, where a long name comes near those beside it.
  const out = task ? [(x - mx) * 0.15, (y - my) * (side === "middle" ? 0.22 : 0.17) + 5] : [0, 30];
  const mark = task
    ? svg("circle", { cx: x, cy: y, r: 14, fill: tint(node), stroke: node === chosen.task ? "#d55e00" : "#fff",
      "stroke-width": 3 })
    : svg("rect", { x: x - 12, y: y - 12, width: 24, height: 24, rx: 4, fill: tint(node), stroke: "#fff",
      "stroke-width": 3 });
  const number = task && data.clusters
    ? svg("text", { x, y: y + 4.5, "text-anchor": "middle", "font-size": 12, "font-weight": 600,
      style: `fill:${inkOn(tint(node))}` },
      String(group(node) + 1))
    : null;
  const pick = task ? { class: "pickable", onclick: () => choose({ task: node }) } : {};
  return svg("g", pick, svg("title", {}, name), mark, number,
    svg("text", { x: x + out[0], y: y + out[1], "text-anchor": side, "font-size": 14,
      "font-weight": node === chosen.task ? 650 : 400 }, name));
}

// All weights; a row for each node that listens.
function matrixPicture() {
  const readout = data.readouts[chosen.readout];
  const rows = order.filter((node) => data.edges.some((edge) => edge[1] === node));
  const columns = order.filter((node) => data.edges.some((edge) => edge[0] === node));
  const cell = Math.max(22, Math.min(42, 380 / columns.length));
  const left = 16 + 8.2 * Math.max(...rows.map((node) => data.nodes[node].length));
  const top = 16 + 8 * Math.max(...columns.map((node) => data.nodes[node].length));
  const tone = tones(readout);
  // Beyond the end of the scale, which is made for those that share a receiver.
  const cells = data.edges.map(([sender, receiver], e) => {
    const x = left + cell * columns.indexOf(sender), y = top + cell * rows.indexOf(receiver);
    const error = readout.error ? readout.error[e] : undefined;
    const spread = error === undefined ? "" : error === null ? ", error unknown" : ` ± ${shown(error)}`;
    const label = `${data.nodes[receiver]} listens to ${data.nodes[sender]}: ${shown(readout.weight[e])}${spread}`;
    const digits = cell >= 32 ? svg("text", { x: x + cell / 2, y: y + cell / 2 + 4, "font-size": 11.5,
      "text-anchor": "middle", style: `fill:${lone(readout, e) ? "#000" : tone.ink(readout.weight[e])}` }, shown(readout.weight[e])) : null;
    return svg("g", receiver < data.tasks.length
      ? { class: "pickable", onclick: () => choose({ task: receiver }) } : {},
    svg("title", {}, label),
    svg("rect", { x, y, width: cell - 1, height: cell - 1, fill: lone(readout, e) ? "#fff" : tone.colour(readout.weight[e]) }), digits);
  });
  const none = svg("rect", { x: left, y: top, width: cell * columns.length - 1, height: cell * rows.length - 1,
    fill: "#e3e6ea" });
  const names = rows.map((node, i) => svg("text", { x: left - 8, y: top + cell * (i + 0.5) + 4.5,
    "text-anchor": "end", "font-size": 13, "font-weight": node === chosen.task ? 650 : 400 }, data.nodes[node]));
  const heads = columns.map((node, i) => svg("text", { "font-size": 13,
    transform: `translate(${left + cell * (i + 0.5) + 4.5} ${top - 8}) rotate(-90)` }, data.nodes[node]));
  const row = rows.indexOf(chosen.task);
  const frame = row < 0 ? null : svg("rect", { x: left - 1.5, y: top + cell * row - 1.5, fill: "none",
    width: cell * columns.length + 2, height: cell + 2, stroke: "#d55e00", "stroke-width": 2 });
  const width = left + cell * columns.length + 6, height = top + cell * rows.length + 6;
  return [picture(width, height, `matrix of weights by ${readout.name}`, none, cells, names, heads, frame),
    under(left, scale(tone.low, tone.high, readout.unit, tone.stops),
      data.edges.some((_, e) => lone(readout, e)) ? html("p", { class: "soft" }, "White: the only sender has all the weight.") : null)];
}

function graphSection() {
  const buttons = data.readouts.map((readout, i) =>
    html("button", { type: "button", onclick: () => choose({ readout: i }) }, readout.name));
  const about = html("p", { class: "soft" }), circle = html("div"), matrix = html("div");
  drawers.push(() => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen.readout)));
    about.textContent = data.readouts[chosen.readout].about;
    circle.replaceChildren(graphPicture());
    matrix.replaceChildren(...matrixPicture());
  });
  const hint = "Click on a task: what it listens to turns orange, here and below. Row: who listens; column: to whom; "
    + `grey: no edge.${data.clusters ? " Number and colour of a task: its cluster." : ""}`;
  return section("Who listens to whom", hint, html("div", { class: "bar" }, "by", buttons), about,
    html("div", { class: "row" }, circle, matrix));
}
