// What every page loads. Each module looks for its own data- attributes and does nothing without them.
import "./htmx-setup.js";
import "./settings.js";
import "./time.js";
import "./dialogs.js";
import "./navigation.js";
import "./tables.js";
import "./toasts.js";
import "./sparks.js";
import "./charts.js";
import "./rows.js";
import "./palette.js";
import "./live.js";
