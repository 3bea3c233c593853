"use strict";
// A page from a server asks it for other models, GPUs and precisions.

async function askServer(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

function addAsking() {
  const form = $("#ask"), said = $("#ask-said"), fields = ["model", "gpu", "precision", "tp"];
  const query = new URLSearchParams(location.search);
  form.hidden = false;
  for (const name of fields) form.elements[name].value = query.get(name) || "";
  form.elements.model.value ||= content.model.id;
  form.elements.gpu.value ||= content.gpus.map((gpu) => gpu.id).join(",");
  askServer("/names").then(({ models, gpus }) => {
    $("#models").replaceChildren(...models.map((value) => el("option", { value })));
    $("#gpus").replaceChildren(...gpus.map((value) => el("option", { value })));
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wish = new URLSearchParams(WORK.map((name) => [name, state[name]]));
    for (const name of fields) if (form.elements[name].value.trim()) wish.set(name, form.elements[name].value.trim());
    const button = $("button", form);
    button.disabled = true;
    said.textContent = "";
    try {
      const found = await askServer(`/content?${wish}`);
      open(found, "");
      for (const name of WORK) wish.delete(name);
      history.pushState(null, "", `/?${wish}#${fragmentOf(state, content)}`);
    } catch (error) {
      said.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  addEventListener("popstate", () => { if (location.search !== query.toString()) location.reload(); });
}
