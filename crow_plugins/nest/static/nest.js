// Shows a page anew when the gateway says that something changed, unless somebody is filling in a form of it.
'use strict'

const main = document.querySelector('main')
let asked = false

function isBusy() {
  const fields = main.querySelectorAll('input:not([type=hidden]), textarea')
  const edited = [...fields].some((field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked)
  return edited || (main.contains(document.activeElement) && document.activeElement.matches('input, textarea'))
}

async function refresh() {
  if (asked || document.hidden || isBusy()) return
  asked = true
  try {
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' } })
    if (!answer.ok || answer.redirected) return
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main')
    if (fresh && !isBusy() && fresh.innerHTML !== main.innerHTML) {
      const place = document.activeElement && document.activeElement.getAttribute('aria-label')
      main.replaceChildren(...fresh.childNodes)
      if (place) main.querySelector(`[aria-label="${CSS.escape(place)}"]`)?.focus()
    }
  } finally {
    asked = false
  }
}

const live = new EventSource('/nest/live')
live.addEventListener('changed', refresh)
document.addEventListener('visibilitychange', refresh)
