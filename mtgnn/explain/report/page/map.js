// Clusters of tasks, and the tasks as places: near where they weigh much to each other.
function mapPicture() {
  const width = 460, height = 320, edge = 56;
  const [xs, ys] = [0, 1].map((i) => data.embedding.map((place) => place[i]));
  const along = (values, size) => (value) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return edge + ((value - low) / (high - low || 1)) * (size - 2 * edge);
  };
  const [x, y] = [along(xs, width), along(ys, height)];
  const dots = order.filter((node) => node < data.tasks.length)
    .map((node) => [node, x(data.embedding[node][0]), y(data.embedding[node][1])]);
  spread(dots);
  const taken = dots.map(([, px, py]) => [px - 10, py - 10, px + 10, py + 10]);
  const marks = dots.map(([node, px, py]) => {
    const label = nameBeside(data.tasks[node], px, py, taken, width);
    taken.push(label.box);
    return svg("g", { class: "pickable", onclick: () => choose({ task: node }) },
      label.far ? svg("line", { x1: px, y1: py, x2: label.x, y2: label.y - 5, stroke: "#aab3bd" }) : null,
      svg("circle", { cx: px, cy: py, r: 9, fill: tint(node), stroke: node === chosen.task ? "#d55e00" : "#fff",
        "stroke-width": 2.5 }),
      svg("text", { x: px, y: py + 3.6, "text-anchor": "middle", "font-size": 10, "font-weight": 600,
        style: `fill:${inkOn(tint(node))}` }, String(group(node) + 1)),  // of many clusters colours come again
      svg("text", { x: label.x, y: label.y, "text-anchor": label.anchor, "font-size": 13,
        "font-weight": node === chosen.task ? 650 : 400 }, data.tasks[node]));
  });
  const bottom = Math.max(height, ...taken.map((box) => box[3] + 10));
  return picture(width, bottom, "map of tasks", svg("rect", { x: 0.5, y: 0.5, width: width - 1, height: bottom - 1,
    fill: "none", stroke: "#d9dee4", rx: 6 }), marks);
}

// Dots at one place would hide each other: they are pushed apart until they touch.
function spread(dots) {
  const wide = 21;
  for (let round = 0; round < 60; round += 1) {
    dots.forEach((one, i) => dots.slice(0, i).forEach((other, j) => {
      const [dx, dy] = [one[1] - other[1], one[2] - other[2]], far = Math.hypot(dx, dy);
      if (far >= wide) return;
      const angle = far > 0.1 ? Math.atan2(dy, dx) : i + 2 * j, half = (wide - far) / 2;
      [[one, half], [other, -half]].forEach(([dot, by]) => {
        dot[1] += by * Math.cos(angle);
        dot[2] += by * Math.sin(angle);
      });
    }));
  }
}

// Beside the dot where there is room, else farther off with a line to it.
function nameBeside(name, px, py, taken, width) {
  const long = 7.6 * name.length;
  const free = (box) => box[0] > 2 && box[2] < width - 2 && box[1] > 2
    && taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
  for (let far = 0; far < 12; far += 1) {
    const off = 14 * far;
    for (const [left, y, anchor, x] of [
      [px + 14, py + 4.5 - off, "start", px + 14], [px - 14 - long, py + 4.5 - off, "end", px - 14],
      [px + 14, py + 4.5 + off, "start", px + 14], [px - 14 - long, py + 4.5 + off, "end", px - 14],
      [px - long / 2, py - 15 - off, "middle", px], [px - long / 2, py + 24 + off, "middle", px]]) {
      const box = [left, y - 11, left + long, y + 3];
      if (free(box)) return { x, y, anchor, box, far: far > 0 };
    }
  }
  return { x: px + 14, y: py + 4.5, anchor: "start", box: [px + 14, py - 6, px + 14 + long, py + 8], far: false };
}

function mapSection() {
  const plot = html("div");
  drawers.push(() => plot.replaceChildren(mapPicture()));
  const number = Math.max(...data.clusters) + 1;
  const lists = Array.from({ length: number }, (_, c) => {
    const members = data.tasks.filter((_, k) => data.clusters[k] === c);
    const dot = html("span", { class: "dot", style: `background:${GROUPS[c % GROUPS.length]}` });
    return html("tr", {}, html("td", { class: "number" }, dot, `cluster ${c + 1}`), html("td", {}, members.join(", ")));
  });
  const about = data.clustered_by === "profile" ? "tasks whose relations to all tasks are alike."
    : "tasks that listen to each other. Both directions of a pair are averaged.";
  return section("Clusters", `From the ${data.clustered_by}: ${about}`,
    html("div", { class: "row" }, plot, html("table", {}, lists)));
}
