/** Great-circle distance between two places. */

const EARTH_RADIUS_KM = 6371.0088;
const RAD_PER_E6 = Math.PI / 180e6;

/** Haversine formula on a sphere of the mean Earth radius (IUGG). Degrees * 1e6 in, kilometres out. */
export function greatCircleKm(
  latitude1E6: number,
  longitude1E6: number,
  latitude2E6: number,
  longitude2E6: number,
): number {
  const a = latitude1E6 * RAD_PER_E6;
  const b = latitude2E6 * RAD_PER_E6;
  const s = Math.sin((b - a) / 2);
  const c = Math.sin(((longitude2E6 - longitude1E6) * RAD_PER_E6) / 2);
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(s * s + Math.cos(a) * Math.cos(b) * c * c)));
}
