/**
 * The made-up world: real cities and currencies, kinds of merchants with their usual prices, and the hours people keep.
 * Rates are round numbers for invented payments, not market data.
 */

export interface Currency {
  readonly code: string;
  /** Units of the currency for one euro. */
  readonly per_eur: number;
  /** Minor units in one unit. */
  readonly minor: number;
}

export const CURRENCIES: Readonly<Record<string, Currency>> = Object.fromEntries(
  (
    [
      ["EUR", 1, 100],
      ["USD", 1.1, 100],
      ["GBP", 0.85, 100],
      ["JPY", 160, 1],
      ["CHF", 0.95, 100],
      ["SEK", 11, 100],
      ["PLN", 4.3, 100],
      ["INR", 92, 100],
      ["BRL", 6, 100],
      ["SGD", 1.45, 100],
      ["AUD", 1.65, 100],
      ["CAD", 1.5, 100],
      ["ZAR", 20, 100],
      ["AED", 4, 100],
      ["MXN", 20, 100],
    ] as const
  ).map(([code, per_eur, minor]) => [code, { code, per_eur, minor }]),
);

export interface Place {
  readonly city: string;
  readonly country: string;
  readonly currency: string;
  /** Degrees. */
  readonly latitude: number;
  readonly longitude: number;
  /** Hours ahead of UTC; daylight saving is left out. */
  readonly zone_h: number;
  /** Share of the population, relative. */
  readonly weight: number;
}

type PlaceRow = readonly [string, string, string, number, number, number, number];

/** The first few lie in different countries, so that a small world has borders too. */
export const PLACES: readonly Place[] = (
  [
    ["Berlin", "DE", "EUR", 52.52, 13.4, 1, 9],
    ["London", "GB", "GBP", 51.51, -0.13, 0, 10],
    ["New York", "US", "USD", 40.71, -74.01, -5, 12],
    ["Paris", "FR", "EUR", 48.86, 2.35, 1, 8],
    ["Tokyo", "JP", "JPY", 35.68, 139.69, 9, 8],
    ["Madrid", "ES", "EUR", 40.42, -3.7, 1, 6],
    ["Warsaw", "PL", "PLN", 52.23, 21.01, 1, 5],
    ["Mumbai", "IN", "INR", 19.08, 72.88, 5.5, 8],
    ["Sao Paulo", "BR", "BRL", -23.55, -46.63, -3, 7],
    ["Chicago", "US", "USD", 41.88, -87.63, -6, 6],
    ["Milan", "IT", "EUR", 45.46, 9.19, 1, 5],
    ["Zurich", "CH", "CHF", 47.38, 8.54, 1, 3],
    ["Stockholm", "SE", "SEK", 59.33, 18.07, 1, 3],
    ["Singapore", "SG", "SGD", 1.35, 103.82, 8, 4],
    ["Sydney", "AU", "AUD", -33.87, 151.21, 10, 4],
    ["Toronto", "CA", "CAD", 43.65, -79.38, -5, 4],
    ["Cape Town", "ZA", "ZAR", -33.92, 18.42, 2, 2],
    ["Dubai", "AE", "AED", 25.2, 55.27, 4, 3],
    ["Mexico City", "MX", "MXN", 19.43, -99.13, -6, 5],
    ["Los Angeles", "US", "USD", 34.05, -118.24, -8, 7],
    ["Hamburg", "DE", "EUR", 53.55, 9.99, 1, 4],
    ["Lyon", "FR", "EUR", 45.76, 4.84, 1, 3],
    ["Manchester", "GB", "GBP", 53.48, -2.24, 0, 4],
    ["Vienna", "AT", "EUR", 48.21, 16.37, 1, 3],
  ] satisfies readonly PlaceRow[]
).map(([city, country, currency, latitude, longitude, zone_h, weight]) => {
  return { city, country, currency, latitude, longitude, zone_h, weight };
});

export interface Category {
  /** ISO 18245 merchant category code. */
  readonly code: string;
  readonly what: string;
  readonly channel: "card_present" | "atm" | "online" | "transfer";
  /** Usual amount, euro cents, and the spread of its logarithm. */
  readonly median_cents: number;
  readonly spread: number;
  /** Share of merchants of its kind (local or online), relative. */
  readonly weight: number;
}

type CategoryRow = readonly [string, string, Category["channel"], number, number, number];

const category = ([code, what, channel, median_cents, spread, weight]: CategoryRow): Category => {
  return { code, what, channel, median_cents, spread, weight };
};

/** Merchants with a place. The first is the one that every place has. */
export const LOCAL: readonly Category[] = (
  [
    ["6011", "cash machine", "atm", 8000, 0.5, 4],
    ["5411", "groceries", "card_present", 2800, 0.7, 22],
    ["5812", "restaurant", "card_present", 3200, 0.6, 18],
    ["5814", "fast food", "card_present", 1100, 0.4, 14],
    ["5541", "fuel", "card_present", 5200, 0.4, 8],
    ["4111", "public transport", "card_present", 350, 0.5, 6],
    ["5912", "pharmacy", "card_present", 1700, 0.6, 7],
    ["5651", "clothes", "card_present", 5500, 0.7, 8],
    ["5732", "electronics", "card_present", 14000, 0.9, 4],
    ["5712", "furniture", "card_present", 18000, 0.9, 3],
    ["7011", "hotel", "card_present", 14000, 0.5, 4],
    ["5944", "jewellery", "card_present", 21000, 0.9, 2],
  ] satisfies readonly CategoryRow[]
).map(category);

/** Merchants without a place. The first four exist in every world: fraud needs them. */
export const ONLINE: readonly Category[] = (
  [
    ["6012", "bank transfer", "transfer", 12000, 1.1, 4],
    ["5816", "digital goods", "online", 700, 0.8, 14],
    ["5947", "gift cards", "online", 4000, 0.6, 4],
    ["5732", "electronics", "online", 12000, 1, 10],
    ["5999", "marketplace", "online", 3000, 0.9, 24],
    ["4899", "streaming", "online", 1200, 0.3, 8],
    ["5651", "clothes", "online", 5500, 0.7, 14],
    ["4511", "flights", "online", 24000, 0.7, 5],
    ["4814", "phone credit", "online", 1500, 0.4, 6],
    ["7995", "betting", "online", 2500, 1, 4],
    ["5812", "food delivery", "online", 2600, 0.5, 12],
  ] satisfies readonly CategoryRow[]
).map(category);

export const BIG_TICKET: ReadonlySet<string> = new Set(["5732", "5712", "5944", "4511"]);

/** Habits: how active a person is in each local hour, 0..1. The last keeps late hours. */
export const HABITS: readonly (readonly number[])[] = [
  [1, 0, 0, 0, 0, 2, 8, 25, 45, 60, 70, 80, 100, 90, 75, 70, 75, 90, 95, 80, 55, 35, 18, 6],
  [2, 1, 0, 0, 0, 1, 6, 40, 60, 30, 25, 40, 100, 70, 30, 25, 35, 70, 100, 95, 75, 50, 25, 8],
  [8, 3, 1, 0, 0, 0, 2, 8, 15, 30, 45, 55, 65, 60, 55, 60, 65, 75, 85, 100, 100, 90, 60, 25],
  [80, 70, 55, 40, 22, 10, 5, 5, 5, 8, 12, 18, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100, 95],
].map((hours) => hours.map((percent) => percent / 100));
export const NIGHT_OWL = HABITS.length - 1;
export const HABIT_WEIGHTS = [45, 30, 20, 5];

const EARTH_KM = 6371;

/** Great-circle distance (haversine), km; degrees in. */
export function distanceKm(lat1: number, lon1: number, lat2: number, lon2: number): number {
  const rad = Math.PI / 180;
  const dLat = Math.sin(((lat2 - lat1) * rad) / 2);
  const dLon = Math.sin(((lon2 - lon1) * rad) / 2);
  const h = dLat * dLat + Math.cos(lat1 * rad) * Math.cos(lat2 * rad) * dLon * dLon;
  return 2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(h)));
}
