// htmx under a strict policy: the CSRF token as a header, failures as toasts instead of swapped pages.
import { toast } from "./toasts.js";

const token = document.querySelector("meta[name=csrf-token]")?.content;

document.addEventListener("htmx:config:request", (event) => {
  const request = event.detail.ctx.request;
  if (token && !/^(GET|HEAD)$/i.test(request.method)) request.headers["X-CSRFToken"] = token;
});

// A re-read that fails is shown by the connection state, not by a toast each second.
const isBackground = (ctx) => /^(live:|every$)/.test(ctx?.sourceEvent?.type ?? "");

// The database is away: the answer says why and when to ask again, and what the page shows is of before.
let asking = 0;
function tellOutage({ response, request }) {
  clearTimeout(asking);
  asking = setTimeout(
    () => htmx.trigger(document.body, "live:sync"),
    Number(response.headers.get("Retry-After") ?? 5) * 1000,
  );
  const sent = !/^(GET|HEAD)$/i.test(request.method);
  toast({
    tone: "bad",
    title: `The database is ${response.headers.get("X-Outage")}`,
    text: sent ? "What you sent was not carried out." : "What you see is of before. The page asks again by itself.",
    key: "outage",
  });
}

document.addEventListener("htmx:response:error", (event) => {
  const { ctx } = event.detail;
  if (ctx.response.headers.get("X-Outage")) return tellOutage(ctx);
  if (ctx.response.status === 403 && isBackground(ctx)) return location.reload();
  if (!isBackground(ctx))
    toast({ tone: "bad", title: "That did not work", text: `The console answered ${ctx.response.status}.` });
});

document.addEventListener("htmx:error", (event) => {
  const { ctx } = event.detail;
  if (ctx && !isBackground(ctx))
    toast({ tone: "bad", title: "The console does not answer", text: "Nothing was changed." });
});

// A page that a login form replaced: the session is over.
document.addEventListener("htmx:before:swap", (event) => {
  if (
    event.detail.ctx.response?.raw?.redirected &&
    new URL(event.detail.ctx.response.raw.url).pathname === document.body.dataset.loginUrl
  ) {
    event.preventDefault();
    location.reload();
  }
});
