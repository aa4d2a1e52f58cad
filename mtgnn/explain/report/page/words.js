// Which words make a task listen.
function wordList(title, dot, entries, most) {
  const lines = entries.map(([word, weight, times]) =>
    html("div", { class: "word", title: `${word}: ${shown(weight)}, ${times} times` }, html("span", {}, word),
      html("span", {}, html("i", { style: `width:${(100 * weight) / most}%` })), html("span", { class: "soft" }, shown(weight))));
  return html("div", {}, html("h3", {}, dot, title),
    lines.length ? lines : html("span", { class: "soft" }, "no word stands out"));
}

// Of small data nearly all words are rare: what is not shown is told.
function leftOut() {
  const [rare, all] = (data.asked.includes(chosen.task) && data.rare[chosen.task]) || [0, 0];
  return rare === 0 ? "" : `Left out: ${rare} of the ${all} words that ${data.tasks[chosen.task]} has seen, for they `
    + `occur fewer than ${data.min_count} times (report's min_count).`;
}

function wordCards() {
  if (!data.asked.includes(chosen.task)) {
    return [html("span", { class: "soft" }, `${data.tasks[chosen.task]} is not among the tasks that were asked for`)];
  }
  if (!data.edges.some(([, receiver]) => receiver === chosen.task)) {
    return [html("span", { class: "soft" }, `${data.tasks[chosen.task]} listens to nobody`)];
  }
  if (data.kind === "mailbox") {
    const entries = data.words[chosen.task];
    return [wordList(data.tasks[chosen.task], null, entries, Math.max(...entries.map((x) => x[1]), 1e-9))];
  }
  const into = order.flatMap((sender) => data.edges
    .map((edge, e) => [edge, e]).filter(([edge]) => edge[0] === sender && edge[1] === chosen.task));
  const most = Math.max(1e-9, ...into.flatMap(([, e]) => data.words[e].map((x) => x[1])));
  return into.map(([[sender], e]) => wordList(data.nodes[sender],
    html("span", { class: "dot", style: `background:${tint(sender)}` }), data.words[e], most));
}

function wordSection() {
  const cards = html("div", { class: "cards" }), left = html("p", { class: "soft" });
  drawers.push(() => {
    cards.replaceChildren(...wordCards());
    left.textContent = leftOut();
  });
  const often = data.min_count > 1 ? `, of those it has read at least ${data.min_count} times` : "";
  const about = data.kind === "mailbox"
    ? `The words of the mailbox that a task reads most${often}. The bar is the weight in units of equal attention; words at 1 or below are not listed.`
    : `For each sender, the words at which the task listens to it most${often}. The bar is the mean weight; words at which this is no more than equal attention are not listed.`;
  return section(data.kind === "mailbox" ? "Words that a task reads" : "Words that make a task listen", about, html("div", { class: "bar" },
    "task", taskMenu("task whose words are shown")), left, cards);
}
