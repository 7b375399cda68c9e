// Shows a page anew when the gateway says that something changed, unless somebody is filling in a form of it.
'use strict'

const EVERY_MS = 20000 // "3 min ago" grows old by itself
const main = document.querySelector('main')
let asked = false // a page is on its way
let again = false // something changed meanwhile
let waits = false // something changed while somebody was filling in a form

function isBusy() {
  const fields = [...main.querySelectorAll('input:not([type=hidden]), textarea')]
  const chosen = [...main.querySelectorAll('option')].some((option) => option.selected !== option.defaultSelected &&
    option.closest('select').selectedIndex > 0)
  const edited = fields.some((field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked)
  const active = document.activeElement
  return edited || chosen || (main.contains(active) && active.matches('input, textarea, select'))
}

function sameOpen(fresh) {
  for (const open of main.querySelectorAll('details[id][open]')) fresh.querySelector('#' + CSS.escape(open.id))?.setAttribute('open', '')
}

function isActive(element) {
  const active = document.activeElement
  return element.matches('a, button, summary') && element.tagName === active.tagName && element.textContent === active.textContent
}

async function refresh() {
  if (document.hidden || isBusy()) { waits = true; return }
  if (asked) { again = true; return }
  asked = true
  waits = false
  try {
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' } })
    if (answer.ok && !answer.redirected) show(new DOMParser().parseFromString(await answer.text(), 'text/html'))
  } catch { // the gateway is away for a moment; the next event comes when it is back
  } finally {
    asked = false
  }
  if (again) { again = false; refresh() }
}

function show(page) {
  const fresh = page.querySelector('main')
  if (!fresh || isBusy()) { waits = true; return }
  sameOpen(fresh)
  enliven(fresh)
  if (fresh.innerHTML === main.innerHTML) return
  const place = [...fresh.querySelectorAll('a, button, summary')].find(isActive)
  main.replaceChildren(...fresh.childNodes)
  document.title = page.title
  place?.focus()
}

// What is of use with a script only is in the page, hidden.
function enliven(part) {
  for (const button of part.querySelectorAll('button[data-take]')) button.hidden = false
}

function take(event) {
  const button = event.target.closest('button[data-take]')
  if (!button) return
  const field = document.getElementById(button.dataset.into)
  field.value = document.getElementById(button.dataset.take).textContent
  field.focus()
}

enliven(main)
main.addEventListener('click', take)
main.addEventListener('focusout', () => setTimeout(() => { if (waits) refresh() }))
const live = new EventSource('/nest/live')
live.addEventListener('changed', refresh)
document.addEventListener('visibilitychange', refresh)
setInterval(refresh, EVERY_MS)
