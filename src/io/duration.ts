/** Minutes and seconds, `01:05`; with hours where there are any. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds)
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor((whole % 3600) / 60)
  const parts = hours > 0 ? [hours, minutes, whole % 60] : [minutes, whole % 60]
  return parts.map((part) => String(part).padStart(2, '0')).join(':')
}
