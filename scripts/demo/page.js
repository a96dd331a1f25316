"use strict";
/* The page: what can be chosen, an image that is sent, its translation under a slider. */
const $ = id => document.getElementById(id);
const STILL_SMALL = 320;    // pixels; a shorter side is shown enlarged, pixel by pixel
let offered = null, file = null, request = null, shown = null;

/* ---- choices */
const fill = (select, values) => {
  const before = select.value;
  select.replaceChildren(...values.map(([value, label]) => new Option(label, value)));
  if (values.some(([value]) => value === before)) select.value = before;
};
const epochs = () => offered.runs.find(({ name }) => name === $("run").value)?.epochs ?? [];
const showEpochs = () => {
  fill($("epoch"), epochs().map(({ name }) => [name, /^\d+$/.test(name) ? "epoch " + name : name]));
  showAverages();
};
const showAverages = () => {
  const has = Boolean(epochs().find(({ name }) => name === $("epoch").value)?.averages);
  $("use_ema").disabled = !has;
  if (!has) $("use_ema").checked = false;
  $("which").textContent = $("run").value;
};
const load = async () => {
  const answer = await fetch("runs");
  if (!answer.ok) throw new Error((await answer.json()).error);
  offered = await answer.json();
  fill($("run"), offered.runs.map(({ name }) => [name, name]));
  $("run").value = offered.first;
  fill($("precision"), offered.precisions.map(name => [name, name]));
  for (const side of offered.tiles) $("tile").append(new Option(side + " pixels", side));
  $("tiles").hidden = !offered.tiles.length;
  showEpochs();
};
$("choices").addEventListener("submit", event => event.preventDefault());
$("choices").addEventListener("change", event => {
  if (event.target === $("run")) showEpochs();
  if (event.target === $("epoch")) showAverages();
  if (file) translate();
});

/* ---- an image comes in */
$("file").addEventListener("change", () => { take($("file").files[0]); $("file").value = ""; });
$("other").addEventListener("click", () => $("file").click());
document.addEventListener("paste", event => take(event.clipboardData?.files[0]));
document.addEventListener("dragover", event => { event.preventDefault(); $("stage").classList.add("over"); });
document.addEventListener("dragleave", event => { if (!event.relatedTarget) $("stage").classList.remove("over"); });
document.addEventListener("drop", event => {
  event.preventDefault();
  $("stage").classList.remove("over");
  take(event.dataTransfer.files[0]);
});
const take = async chosen => {
  if (!chosen) return;
  file = chosen;
  $("error").hidden = true;
  const url = URL.createObjectURL(file), image = new Image();
  image.src = url;
  try { await image.decode(); } catch { image.removeAttribute("src"); }
  if (file !== chosen) return;
  URL.revokeObjectURL($("before").src);
  if (image.naturalWidth) show($("before"), url);
  fit(image.naturalWidth, image.naturalHeight);
  $("drop").hidden = Boolean(image.naturalWidth);
  $("pair").hidden = !image.naturalWidth;
  $("bar").hidden = !image.naturalWidth;
  reset();
  translate();
};
const show = (image, url) => { image.src = url; };
const fit = (width, height) => {    /* within the window; small images enlarged by a whole number */
  const most = Math.max(240, window.innerHeight * .62), room = Math.min(document.body.clientWidth, 1000);
  const small = Math.max(width, height) < STILL_SMALL;
  const times = small ? Math.max(1, Math.floor(Math.min(most / height, room / width)))
                      : Math.min(1, most / height);
  $("view").classList.toggle("small", small);
  $("view").style.setProperty("--wide", Math.round(width * times) + "px");
};
const reset = () => {
  for (const id of ["after", "line", "slider", "after_tag", "download"]) $(id).hidden = true;
  $("facts").textContent = "";
};

/* ---- its translation */
const clock = (() => {
  let timer = null;
  return { start(words) {
    const begun = performance.now();
    clearInterval(timer);
    const tick = () => {
      const seconds = Math.floor((performance.now() - begun) / 1000);
      $("doing").textContent = words + (seconds ? `, ${seconds} s` : "");
    };
    tick();
    timer = setInterval(tick, 250);
    $("busy").hidden = false;
  }, stop() { clearInterval(timer); $("busy").hidden = true; } };
})();
const translate = () => {
  request?.abort();
  const own = request = new XMLHttpRequest();
  const choice = { run: $("run").value, epoch: $("epoch").value, use_ema: $("use_ema").checked,
                   precision: $("precision").value, tile: $("tile").value };
  own.open("POST", "translate?" + new URLSearchParams(choice));
  own.responseType = "blob";
  own.upload.onprogress = event => {
    if (event.loaded < event.total) clock.start(`sending, ${Math.round(100 * event.loaded / event.total)} %`);
  };
  own.upload.onload = () => { if (request === own) clock.start("translating"); };
  own.onload = async () => {
    if (request !== own) return;
    clock.stop();
    if (own.status === 200) await present(own.response, choice, own.getResponseHeader("X-Seconds"));
    else fail(await reason(own));
  };
  own.onerror = () => { clock.stop(); fail("The program that runs this page does not answer: start it again."); };
  $("error").hidden = true;
  clock.start("sending");
  own.send(file);
};
const reason = async answer => {
  try { return JSON.parse(await answer.response.text()).error; }
  catch { return `The program answered ${answer.status}, for a reason that it shows in its terminal.`; }
};
const fail = words => {
  $("error").textContent = words;
  $("error").hidden = false;
  $("error").scrollIntoView({ block: "nearest" });
  reset();
};
const present = async (blob, choice, seconds) => {
  URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(blob);
  show($("after"), shown);
  await $("after").decode();
  for (const id of ["after", "line", "slider", "after_tag", "download"]) $(id).hidden = false;
  const name = file.name?.replace(/\.[^.]*$/, "") || "image";
  $("download").href = shown;
  $("download").download = `${name}_${choice.run}_${choice.epoch}${choice.use_ema ? "_ema" : ""}.png`;
  const { naturalWidth: width, naturalHeight: height } = $("after");
  $("facts").textContent = `${width} × ${height} pixels, translated in ${seconds} s`;
};

/* ---- before and after */
const move = () => $("view").style.setProperty("--at", $("slider").value + "%");
$("slider").addEventListener("input", move);
$("view").addEventListener("pointermove", event => {    /* a finger or the mouse's button drags the line anywhere */
  if (!event.buttons || $("slider").hidden) return;
  const box = $("view").getBoundingClientRect();
  $("slider").value = 100 * (event.clientX - box.left) / box.width;
  move();
});
load().catch(error => fail(error.message));
