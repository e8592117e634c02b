// The sign of a priority: form, number and colour say the same. Filled while nobody has taken note, an outline afterwards; grey when there is none.
import type { JSX } from "preact";
import type { PriorityName } from "../api/types";

export const FORMS: Record<PriorityName, [form: string, number: string, y: number]> = {
  CRITICAL: ["M2 2h20v20H2z", "1", 16.5],
  HIGH: ["M12 1.5 23 21.500H1z", "2", 18.5],
  MEDIUM: ["M12 22.500 1 2.500h22z", "3", 13.5],
  LOW: ["M12 1 23 12 12 23 1 12z", "4", 16.5],
};

export function PrioritySign({
  priority,
  kind = "new",
  size = 22,
}: {
  priority: PriorityName;
  kind?: "new" | "noted" | "none";
  size?: number;
}): JSX.Element {
  const [form, number, y] = FORMS[priority];
  return (
    <svg
      class={`priority ${priority.toLowerCase()} ${kind}`}
      viewBox="0 0 24 24"
      width={size}
      height={size}
      aria-hidden="true"
      focusable="false"
    >
      <path d={form} />
      <text x="12" y={y} text-anchor="middle">
        {number}
      </text>
    </svg>
  );
}
