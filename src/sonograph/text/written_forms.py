"""What short forms of written English stand for: abbreviations, units, currencies, symbols."""

from __future__ import annotations

from sonograph.text import listed

# Abbreviations written with a full stop: small letters without it. What follows "|" is said where
# no capitalised word comes behind ("St. John", "Main St.").
WITH_STOP = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "messrs": "messers", "prof": "professor",
    "dr": "doctor|drive", "st": "saint|street", "rev": "reverend", "hon": "honorable",
    "gen": "general", "col": "colonel", "capt": "captain", "lt": "lieutenant", "sgt": "sergeant",
    "maj": "major", "cmdr": "commander", "gov": "governor", "sen": "senator",
    "rep": "representative", "pres": "president", "jr": "junior", "sr": "senior", "esq": "esquire",
    "ave": "avenue", "blvd": "boulevard", "rd": "road", "hwy": "highway", "apt": "apartment",
    "dept": "department", "univ": "university", "assn": "association", "bros": "brothers",
    "co": "company", "corp": "corporation", "inc": "incorporated", "ltd": "limited",
    "etc": "et cetera", "vs": "versus", "approx": "approximately", "est": "established",
    "fig": "figure", "figs": "figures", "eq": "equation", "ch": "chapter", "vol": "volume",
    "pp": "pages", "ed": "editor", "eds": "editors", "ext": "extension", "tel": "telephone",
    "max": "maximum", "min": "minimum", "misc": "miscellaneous", "incl": "including",
    "cf": "compare", "al": "al", "mt": "mount", "ft": "fort|feet", "e.g": "for example",
    "i.e": "that is", "a.m": "A M", "p.m": "P M", "a.d": "A D", "b.c": "B C", "ph.d": "P H D",
    "jan": "january", "feb": "february", "mar": "march", "apr": "april", "jun": "june",
    "jul": "july", "aug": "august", "sep": "september", "sept": "september", "oct": "october",
    "nov": "november", "dec": "december", "mon": "monday", "tue": "tuesday", "tues": "tuesday",
    "wed": "wednesday", "thu": "thursday", "thurs": "thursday", "fri": "friday",
    "sat": "saturday", "sun": "sunday",
}  # fmt: skip
# Those that are words of their own, and so are short forms only before a digit: "No. 5", "p. 3".
BEFORE_NUMBER = {"no": "number", "nos": "numbers", "p": "page", "sec": "section", "art": "article"}
# Those that are words of their own unless capitalised or in front of a name or number.
ALSO_WORDS = frozenset(
    listed("co ed mar max min sat sun mon wed fri jan dec est gen hon al ext fig rep sen")
)
# Behind these a sentence often ends: the full stop counts twice where a capital follows.
MAY_END = frozenset(
    listed("etc inc ltd co corp jr sr bros esq ave blvd rd st a.m p.m b.c a.d ph.d")
)

CURRENCIES = {
    "$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "pence"), "¥": ("yen", ""),
    "₹": ("rupee", "paisa"), "₽": ("ruble", "kopeck"), "₩": ("won", ""), "₺": ("lira", ""),
    "₪": ("shekel", ""), "₿": ("bitcoin", ""), "฿": ("baht", ""),
    "usd": ("dollar", "cent"), "eur": ("euro", "cent"), "gbp": ("pound", "pence"),
    "chf": ("franc", ""), "jpy": ("yen", ""), "cny": ("yuan", ""), "inr": ("rupee", "paisa"),
}  # fmt: skip
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion",
          "tn": "trillion"}  # fmt: skip

# Units, read only behind a number. The first word is put in the plural.
UNITS = {
    "km/h": "kilometer per hour", "kph": "kilometer per hour", "mph": "mile per hour",
    "m/s": "meter per second", "km": "kilometer", "cm": "centimeter", "mm": "millimeter",
    "nm": "nanometer", "µm": "micrometer", "μm": "micrometer", "m": "meter", "mi": "mile",
    "ft": "foot", "in": "inch", "yd": "yard", "kg": "kilogram", "mg": "milligram",
    "µg": "microgram", "μg": "microgram", "g": "gram", "lb": "pound", "lbs": "pound",
    "oz": "ounce", "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "dB": "decibel",
    "ms": "millisecond", "µs": "microsecond", "μs": "microsecond", "ns": "nanosecond",
    "s": "second", "sec": "second", "min": "minute", "mins": "minute", "h": "hour", "hr": "hour",
    "hrs": "hour", "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "kb": "kilobit", "Mb": "megabit", "Gb": "gigabit",
    "kbps": "kilobit per second", "Mbps": "megabit per second", "Gbps": "gigabit per second",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "kWh": "kilowatt hour", "V": "volt",
    "mV": "millivolt", "kV": "kilovolt", "mA": "milliamp", "Ω": "ohm", "kΩ": "kiloohm",
    "°C": "degree celsius", "°F": "degree fahrenheit", "°": "degree",
    "Pa": "pascal", "kPa": "kilopascal", "hPa": "hectopascal", "J": "joule", "kJ": "kilojoule",
    "cal": "calorie", "kcal": "kilocalorie", "px": "pixel", "fps": "frame per second",
    "rpm": "revolution per minute", "bpm": "beat per minute", "dpi": "dot per inch",
    "%": "percent", "‰": "per mille",
}  # fmt: skip
NO_PLURAL = frozenset({"percent", "hertz", "kilohertz", "megahertz", "gigahertz", "kelvin", "per"})

# Said wherever they stand by themselves; what has no entry is named after Unicode or dropped.
SYMBOLS = {
    "&": "and", "@": "at", "+": "plus", "=": "equals", "%": "percent", "#": "pound", "*": "star",
    "/": "slash", "\\": "backslash", "_": "underscore", "~": "tilde", "^": "caret",
    "<": "less than", ">": "greater than", "|": "pipe", "$": "dollar", "€": "euro", "£": "pound",
    "¥": "yen", "©": "copyright", "®": "registered", "™": "trademark", "°": "degrees",
    "§": "section", "¶": "paragraph", "±": "plus or minus", "×": "times", "÷": "divided by",
    "≤": "less than or equal to", "≥": "greater than or equal to", "≠": "not equal to",
    "≈": "approximately", "∞": "infinity", "√": "square root of", "∑": "sum", "∫": "integral",
    "µ": "micro", "№": "number", "‰": "per mille", "¢": "cents", "→": "to", "←": "from",
    "½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third",
    "⅔": "two thirds", "⅛": "one eighth", "²": "squared", "³": "cubed", "−": "minus",
}  # fmt: skip

# Capitals that are said as a word, others of up to five letters are spelled where no dictionary
# word of four letters or more says otherwise.
SAID_AS_WORDS = frozenset(
    listed(
        "nasa nato sip pin ram rom gif jpeg laser radar scuba unesco unicef opec covid aids "
        "sim lan wan gui ikea fema dahdi asap posix ascii ok zip jingle zap dos mac bios cad"
    )
)
# Dictionary words of two or three letters that are words in capitals too ("NO", "THE").
COMMON_SHORT = frozenset(
    listed(
        "no on in or not and the is do go so to yes all now new you we he she my me if of at "
        "by be as an am was are can has had her him his how its may off old one out own too "
        "two use way who why any but for get let put see try top big red hot set run end stop"
    )
)
# Words behind which digits name something and are read one by one.
NAMES_A_CODE = frozenset(
    listed("extension extensions password pin code passcode zip id account serial flight dial ext")
)
PREFIXES = frozenset(listed("re de un non pre mis anti multi"))  # "re-enter" is one word
PARTS = frozenset(  # behind these a Roman numeral is a plain number: "Chapter IV"
    listed(
        "chapter part volume book act scene section phase type war level appendix article "
        "class grade stage step mark version final"
    )
)
ROMAN = {
    "II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12,
    "XIII": 13, "XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18, "XIX": 19, "XX": 20,
}  # fmt: skip

TOP_DOMAINS = frozenset(
    listed(
        "com org net edu gov mil int io ai dev app info biz co uk us de fr es it ru nl eu ca "
        "au jp cn in br ch at be se no fi dk pl pt ie nz tv me"
    )
)
SAID_DOMAINS = frozenset(["com", "org", "net", "edu", "gov", "mil", "info", "biz", "dev", "app"])
