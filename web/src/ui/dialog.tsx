// A question over the page: a title, where it is about, fields, what went wrong, and two buttons.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { t } from "../i18n";
import { Wrong } from "./bits";

export function Dialog({
  title,
  place,
  action,
  wrong,
  off = "",
  busy = false,
  back,
  submit,
  close,
  children,
}: {
  title: string;
  place: string;
  /** What the button says that sends it. */
  action: string;
  wrong: string;
  /** Why it cannot be sent now. */
  off?: string;
  busy?: boolean;
  /** A step before this one, in the place of closing. */
  back?: { text: string; go: () => void } | undefined;
  submit: () => void;
  close: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    // An element that goes away while it is open leaves the keyboard nowhere: closed, it gives it back to where it was.
    return () => shown?.close();
  }, []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby={id}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!off && !busy) submit();
        }}
      >
        <header>
          <h2 id={id}>{title}</h2>
          <p class="quiet">{place}</p>
        </header>
        {children}
        <Wrong wrong={wrong} off={off} />
        <footer>
          <button type="button" onClick={back?.go ?? (() => dialog.current?.close())}>
            {back?.text ?? t("app.close")}
          </button>
          <button type="submit" class="primary" disabled={!!off || busy}>
            {action}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
