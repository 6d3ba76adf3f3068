// Browsers start no worker from a page that is opened from the disk; there the search runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.srcdoc = "<body></body>"
      this.started = new Promise((started, failed) => {
        this.frame.onload = () => {
          const inside = this.frame.contentWindow
          inside.postMessage = data => this.onmessage && this.onmessage({ data })
          const script = inside.document.createElement("script")
          script.src = url
          script.onload = started
          script.onerror = failed
          inside.document.body.append(script)
        }
      })
      this.started.catch(error => this.onerror && this.onerror(error))
      document.body.append(this.frame)
    }

    postMessage(data) {
      this.started.then(() => {
        const inside = this.frame.contentWindow
        if (inside) inside.dispatchEvent(new inside.MessageEvent("message", { data }))
      })
    }

    terminate() {
      this.frame.remove()
    }
  }
}
