//! Where the made-up people live, and what they are called there.

/// A country the shop sells to.
pub(super) struct Country {
    /// ISO 3166 code.
    pub(super) code: &'static str,
    /// The shop's store view for it.
    pub(super) store_view: &'static str,
    /// Currency of its prices.
    pub(super) currency: &'static str,
    /// IANA time zones and languages of its people, by index.
    pub(super) zones: &'static [&'static str],
    /// Languages of its people, as BCP 47 tags.
    pub(super) locales: &'static [&'static str],
    /// Given names.
    pub(super) first_names: &'static [&'static str],
    /// Family names.
    pub(super) last_names: &'static [&'static str],
    /// Streets.
    pub(super) streets: &'static [&'static str],
    /// City, state or province, postal code.
    pub(super) cities: &'static [(&'static str, &'static str, &'static str)],
    /// What a phone number starts with, as people type it; six digits follow. The ranges are
    /// well-formed, but kept for machines or not handed out, so that nobody's number comes up.
    pub(super) phone_starts: &'static [&'static str],
    /// Email consent has to be confirmed by a second step.
    pub(super) double_opt_in: bool,
}

/// How many of a hundred people live in each of [`COUNTRIES`].
pub(super) const WEIGHTS: [usize; 4] = [45, 15, 25, 15];

/// The countries.
pub(super) static COUNTRIES: [Country; 4] = [
    Country {
        code: "NL",
        store_view: "nl",
        currency: "EUR",
        zones: &["Europe/Amsterdam"],
        locales: &["nl-NL"],
        first_names: &[
            "Anna", "Bram", "Daan", "Emma", "Femke", "Hugo", "Jasper", "Lieke", "Lotte", "Luuk",
            "Mila", "Noah", "Ruben", "Sanne", "Sem", "Tess", "Thijs", "Zoë",
        ],
        last_names: &[
            "Bakker",
            "van den Berg",
            "de Boer",
            "Bos",
            "Dekker",
            "Dijkstra",
            "de Graaf",
            "Hendriks",
            "Jansen",
            "de Jong",
            "Meijer",
            "Mulder",
            "Smit",
            "Visser",
            "de Vries",
        ],
        streets: &["Kerkstraat", "Dorpsstraat", "Molenweg", "Beatrixlaan"],
        cities: &[
            ("Utrecht", "Utrecht", "3511 AB"),
            ("Groningen", "Groningen", "9711 CD"),
            ("Eindhoven", "Noord-Brabant", "5611 EF"),
        ],
        phone_starts: &["097000", "+31 97000", "0031 97000", "0970-00"],
        double_opt_in: false,
    },
    Country {
        code: "BE",
        store_view: "be",
        currency: "EUR",
        zones: &["Europe/Brussels"],
        locales: &["nl-BE", "fr-BE"],
        first_names: &[
            "Arthur", "Camille", "Elise", "Fien", "Jules", "Lander", "Louise", "Marie", "Mathis",
            "Nora", "Olivia", "Robbe", "Simon", "Wout",
        ],
        last_names: &[
            "Claes", "Dubois", "Goossens", "Jacobs", "Lambert", "Maes", "Mertens", "Peeters",
            "Simon", "Willems", "Wouters", "D'Hondt",
        ],
        streets: &["Stationsstraat", "Rue de l'Église", "Nieuwstraat", "Avenue Louise"],
        cities: &[
            ("Gent", "Oost-Vlaanderen", "9000"),
            ("Liège", "Liège", "4000"),
            ("Antwerpen", "Antwerpen", "2000"),
        ],
        phone_starts: &["0450", "+32 450 ", "0032 450", "0450/"],
        double_opt_in: false,
    },
    Country {
        code: "DE",
        store_view: "de",
        currency: "EUR",
        zones: &["Europe/Berlin"],
        locales: &["de-DE"],
        first_names: &[
            "Anton", "Clara", "Elias", "Finn", "Hannah", "Ida", "Jonas", "Jürgen", "Leon", "Lena",
            "Marie", "Mia", "Paul", "Sophie", "Theo", "Ulrike",
        ],
        last_names: &[
            "Becker",
            "Fischer",
            "Hoffmann",
            "Koch",
            "Krüger",
            "Meyer",
            "Müller",
            "Neumann",
            "Richter",
            "Schäfer",
            "Schmidt",
            "Schneider",
            "Wagner",
            "Weber",
            "Wolf",
        ],
        streets: &["Hauptstraße", "Gartenweg", "Bahnhofstraße", "Lindenallee"],
        cities: &[
            ("Köln", "Nordrhein-Westfalen", "50667"),
            ("Leipzig", "Sachsen", "04109"),
            ("Freiburg", "Baden-Württemberg", "79098"),
        ],
        phone_starts: &["015000", "+49 1500 0", "0049 15000", "01500/0"],
        double_opt_in: true,
    },
    Country {
        code: "US",
        store_view: "us",
        currency: "USD",
        zones: &["America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"],
        locales: &["en-US", "es-US"],
        first_names: &[
            "Ava",
            "Benjamin",
            "Carlos",
            "Charlotte",
            "Ethan",
            "Grace",
            "Isabella",
            "James",
            "Liam",
            "Lucas",
            "Maria",
            "Mason",
            "Olivia",
            "Sophia",
            "William",
        ],
        last_names: &[
            "Anderson", "Brown", "Clark", "Davis", "Garcia", "Johnson", "Lee", "Martinez",
            "Miller", "O'Brien", "Smith", "Taylor", "Williams", "Wilson",
        ],
        streets: &["Main St", "Oak Ave", "2nd St", "Maple Dr"],
        cities: &[
            ("Albany", "NY", "12207"),
            ("Madison", "WI", "53703"),
            ("Boulder", "CO", "80302"),
            ("Portland", "OR", "97035"),
        ],
        phone_starts: &["533-2", "(533) 2", "+1 533 2", "5332"],
        double_opt_in: false,
    },
];
