// What a reader has to know, said in one place at the head of the page, also to screen readers.

const notice = document.getElementById("notice");

/** Say something; with `trouble` in the colour of trouble. An empty text takes it away. */
export function tell(text, trouble = false) {
  if (notice.textContent === text) return;
  notice.textContent = text;
  notice.classList.toggle("trouble", trouble && text !== "");
}
