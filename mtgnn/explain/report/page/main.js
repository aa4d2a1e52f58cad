const page = document.getElementById("page");
page.replaceChildren(
  html("h1", {}, data.title),
  html("p", { class: "soft" }, data.summary),
  ...[
    answerSection(),
    data.readouts.length ? graphSection() : null,
    data.agreements.length ? agreementSection() : null,
    data.clusters ? mapSection() : null,
    data.words ? wordSection() : null,
    sentenceSection(),
  ].filter(Boolean));
choose({ task: data.asked[0] });
document.body.dataset.ready = "true";
