// How good is the model? What follows says nothing of one that has learned nothing.
function answerRow(answer) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const cell = (...words) => html("td", { class: "number" }, ...words);
  const known = answer.labelled > 0;
  return html("tr", {}, html("td", {}, answer.task),
    html("td", { class: answer.says ? "number warn" : "number" }, known ? percent(answer.right) : "–"),
    cell(known ? percent(answer.share) : "–"), html("td", { class: "soft" }, known ? answer.usual : ""),
    cell(answer.labelled.toLocaleString("en")));
}

// Said once of all tasks of which it is true.
function warnings() {
  const tasks = {};
  for (const { task, says } of data.answers) if (says) tasks[says] = [...(tasks[says] || []), task];
  return Object.entries(tasks).map(([says, names]) =>
    html("p", { class: "warn" }, html("b", {}, names.join(", ")), `: ${says}`));
}

function answerSection() {
  const about = `On the labelled ${data.labelled} that this page is read off: how often the model is right, and how often `
    + "always answering the task's most frequent label would be. If the model was trained on them, it looks better than it is."
    + (data.labelled === "words" ? " Standard errors take words as independent, and are somewhat too small." : "");
  const heads = [["task"], ["model"], ["most frequent label", 2], [data.labelled]]
    .map(([name, colspan]) => html("th", { colspan }, name));
  return section("How good is the model?", about, warnings(), html("div", { class: "scroll" },
    html("table", { class: "answers" }, html("tr", {}, heads), data.answers.map(answerRow))));
}
