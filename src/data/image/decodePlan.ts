import type { Window } from './bytes.ts'

/** Width and height in pixels. */
export interface PixelSize {
  width: number
  height: number
}

/** What becomes of a picture while it is decoded: cut, resized, cut again, mirrored; all of it optional, in this order. */
export interface DecodePlan extends PixelSize {
  before?: Window | undefined
  resize?: PixelSize | undefined
  after?: Window | undefined
  flipX: boolean
  flipY: boolean
}

/** A plan that leaves a picture of this size as it is. */
export function emptyPlan({ width, height }: PixelSize): DecodePlan {
  return { width, height, flipX: false, flipY: false }
}

/** Size of the picture that a plan makes. */
export function planSize({ width, height, before, resize, after }: DecodePlan): PixelSize {
  const last = after ?? resize ?? before ?? { width, height }
  return { width: last.width, height: last.height }
}

/** The window, given in a picture of `size`, as it lies in the mirrored picture. */
export function mirrorWindow(window: Window, size: PixelSize, flipX: boolean, flipY: boolean): Window {
  const { left, top, width, height } = window
  return {
    left: flipX ? size.width - left - width : left,
    top: flipY ? size.height - top - height : top,
    width,
    height,
  }
}

/** Adds a crop to a plan; the window is given in the picture as the plan makes it so far. */
export function addCrop(plan: DecodePlan, window: Window): void {
  const inside = mirrorWindow(window, planSize(plan), plan.flipX, plan.flipY)
  const key = plan.resize ? 'after' : 'before'
  const previous = plan[key]
  plan[key] = {
    left: inside.left + (previous?.left ?? 0),
    top: inside.top + (previous?.top ?? 0),
    width: inside.width,
    height: inside.height,
  }
}

/** Adds a resize to a plan, unless it has one already: then returns false and leaves it as it is. */
export function addResize(plan: DecodePlan, size: PixelSize): boolean {
  if (plan.resize) return false
  plan.resize = { width: size.width, height: size.height }
  return true
}
