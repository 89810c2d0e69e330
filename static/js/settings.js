// Theme and time zone: chosen in the user menu, kept by the browser, heard by charts and times.
const root = document.documentElement;

function show(name) {
  for (const button of document.querySelectorAll(`[data-${name}-set]`)) {
    button.setAttribute("aria-pressed", String(button.dataset[`${name}Set`] === root.dataset[name]));
  }
}

for (const name of ["theme", "zone"]) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest(`[data-${name}-set]`);
    if (!button) return;
    root.dataset[name] = button.dataset[`${name}Set`];
    try {
      localStorage.setItem(`gds.${name}`, root.dataset[name]);
    } catch {
      // Storage is off: it holds for this page.
    }
    show(name);
    document.dispatchEvent(new CustomEvent(`gds:${name}`));
  });
  show(name);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.dispatchEvent(new CustomEvent("gds:theme")),
);
