"use strict";
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.text);
      button.textContent = "Copied";
    } catch {
      // Without the right to the clipboard the text is shown to be copied by hand.
      const box = document.createElement("textarea");
      box.value = button.dataset.text;
      box.rows = 8;
      box.style.width = "100%";
      button.closest("figure").append(box);
      box.select();
      return;
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  });
}
