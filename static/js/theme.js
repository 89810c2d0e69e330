// Runs before the first paint: the theme and the time zone the reader chose. "system" follows the machine.
(() => {
  const root = document.documentElement;
  for (const name of ["theme", "zone"]) {
    try {
      const kept = localStorage.getItem(`gds.${name}`);
      if (kept) root.dataset[name] = kept;
    } catch {
      // Storage is off: the page keeps its defaults.
    }
  }
})();
