import { tick } from "./ago.js";
import { listen } from "./actions.js";
import { follow } from "./live.js";

tick();
listen();
follow();
document.documentElement.dataset.ready = "";
