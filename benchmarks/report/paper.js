(() => {
  "use strict";
  // On paper nothing can be opened: all that is folded is printed.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const one of folded) one.open = true;
  });
  window.addEventListener("afterprint", () => { for (const one of folded) one.open = false; folded = []; });

  // Trajectories: all points are shown until somebody plays them, one evaluation after another, in all panels at once.
  for (const box of document.querySelectorAll("[data-steps]")) {
    const last = Number(box.dataset.steps);
    const [play, slider, told] = ["button", "input", "output"].map((name) => box.querySelector(name));
    const marks = [...box.querySelectorAll("[data-step]")];
    const show = (step) => {
      slider.value = step;
      told.textContent = step + " of " + last + " evaluations";
      for (const mark of marks) {
        mark.classList.toggle("later", Number(mark.dataset.step) >= step);
        mark.classList.toggle("now", Number(mark.dataset.step) === step - 1 && step < last);
      }
    };
    let timer = 0;
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      let step = Number(slider.value) >= last ? 0 : Number(slider.value);
      play.textContent = "Pause";
      timer = setInterval(() => { step += 1; show(step); if (step >= last) stop(); }, 450);
    });
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    window.addEventListener("beforeprint", () => { stop(); show(last); });
    box.querySelector(".player").hidden = false;
    show(last);
  }
})();
