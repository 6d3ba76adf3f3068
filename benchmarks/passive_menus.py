"""The shops of `passive_logs.py`: the order desk, and others with menus and customers of their own."""

from collab_order_desk.world import SLOTS
from passive_shops import Manner, OrderDesk, Shop


def desk(name: str, phrasings: str | None) -> OrderDesk:
    return OrderDesk(
        name=name,
        phrasings=phrasings,
        slots={slot.name: slot.values for slot in SLOTS},
        confirms="okay , one {size} {drink} with {milk} and {syrup} , {service} .",
        said={"milk": "{} milk", "syrup": "{} syrup"},
        asked={slot.name: slot.asked for slot in SLOTS},
        menu=(
            "You take orders at a coffee bar. "
            "Drinks: latte, mocha, cappuccino, americano, espresso, macchiato, cortado and chai. "
            "Sizes: small, medium or large. Milk can be whole, skim, oat, soy or almond. "
            "Syrups: vanilla, hazelnut, caramel, chocolate, honey. Service: here or to go."
        ),
        manner=Manner(
            requests=("{}",),
            answers=("{} please", "{}"),
            corrections=("not quite , i would like {} please", "no , {} please"),
            joiner=" , ",
            farewells=("never mind",),
        ),
    )


PIZZA = Shop(
    name="pizza",
    slots={
        "pizza": ("margherita", "pepperoni", "hawaiian", "four cheese", "veggie"),
        "size": ("personal", "regular", "family"),
        "crust": ("thin", "stuffed", "sourdough", "gluten free"),
        "dip": ("garlic", "ranch", "chilli", "no dip at all"),
        "service": ("delivery", "collection"),
    },
    confirms="Great! That's a {size} {pizza} on {crust}, {dip} on the side, for {service}.",
    said={"crust": "{} crust", "dip": "{} dip", "size": "{} size"},
    asked={"service": "delivery or collection"},
    what="a pizza",
    menu=(
        "You are Gina, who takes orders for Gina's Pizza. Be quick and friendly.\n\nMenu\n"
        "- Pizza: margherita, pepperoni, hawaiian, four cheese, veggie\n"
        "- Size: personal, regular, family\n"
        "- Crust: thin, stuffed, sourdough, gluten free\n"
        "- Dip: garlic, ranch, chilli, no dip at all\n"
        "- Service: delivery or collection"
    ),
    manner=Manner(
        requests=("Evening! We'd love {}.", "Could you do {} for tonight?", "{} if you'd be so kind"),
        answers=("Let's say {}.", "{}, cheers"),
        corrections=("Hmm, that isn't it, we asked for {}.", "Nope, should've been {}!"),
        joiner=", ",
        content=("Lovely, cheers!", "Brilliant, thank you so much."),
        farewells=("You know what, we'll cook.", "This is hopeless, goodnight."),
    ),
)
HOTEL = Shop(
    name="hotel",
    slots={
        "room": ("single", "double", "twin", "suite"),
        "view": ("sea", "garden", "street"),
        "board": ("breakfast", "half board", "full board"),
        "floor": ("ground", "middle", "top"),
        "parking": ("garage", "outdoor parking"),
    },
    confirms="Your booking: {room}, {view}, {board}, {floor}, {parking}. See you soon.",
    said={"room": "{} room", "view": "{} view", "floor": "{} floor"},
    asked={"room": "kind of room"},
    what="a room",
    menu=(
        "Hotel Miramar, bookings assistant. We have single, double, twin or suite rooms. "
        "The view is sea, garden or street. Board is one of: breakfast, half board, full board. "
        "Guests choose the ground, middle or top floor. Parking: garage or outdoor parking."
    ),
    manner=Manner(
        requests=("Good day, please reserve {} for my stay.", "I am looking to book {}.", "Reservation: {}."),
        answers=("{}.", "I would rather have {}, please."),
        corrections=("Excuse me, this does not match what I asked: {}.", "Please change it to {}."),
        joiner=" and ",
        content=("Perfect, thank you very much.", "Wonderful, that is exactly right."),
        farewells=("I shall look for another hotel.", "Kindly cancel everything, I am done."),
    ),
)
CAR_RENTAL = Shop(
    name="car rental",
    slots={
        "car": ("compact", "estate", "minivan", "convertible", "pickup truck"),
        "gearbox": ("manual", "automatic"),
        "fuel": ("petrol", "diesel", "electric", "hybrid"),
        "cover": ("basic cover", "full cover"),
        "return": ("airport", "downtown", "station"),
    },
    confirms="ok! {car} w/ {gearbox} + {fuel} + {cover}; drop-off {return}",
    said={"return": "at the {}"},
    asked={"return": "drop-off"},
    what="some car",
    menu=(
        "# Rules\nNever promise discounts.\n# Fleet\n"
        "Car = compact / estate / minivan / convertible / pickup truck\n"
        "Gearbox = manual / automatic\n"
        "Fuel = petrol / diesel / electric / hybrid\n"
        "Cover = basic cover / full cover\n"
        "Drop-off = airport / downtown / station"
    ),
    manner=Manner(
        requests=("need wheels: {}", "yo can u sort me {}", "{} for next week thx"),
        answers=("{}", "{} i guess"),
        corrections=("nah {}", "wrong!! {}"),
        joiner=" ",
        content=("sweet ty", "nice one"),
        farewells=("ur bot sucks", "calling ur competitor lol"),
    ),
)
FLOWERS = Shop(
    name="flowers",
    slots={
        "flower": ("roses", "tulips", "lilies", "peonies"),
        "colour": ("red", "white", "yellow", "pink"),
        "amount": ("a dozen", "twenty", "fifty"),
        "wrapping": ("paper", "cloth", "a vase"),
        "card": ("birthday card", "blank card", "sympathy card"),
    },
    confirms="Noted - {amount} {colour} {flower} in {wrapping}, plus {card}. We start right away!",
    said={"wrapping": "wrapped in {}", "card": "a {}"},
    asked={"flower": "flowers", "amount": "how many"},
    what="a bouquet",
    menu=(
        "You answer for Fleur & Co. What we sell: roses, tulips, lilies or peonies. "
        "Every colour is red, white, yellow or pink. Amount: a dozen, twenty or fifty. "
        "Wrapping can be paper, cloth or a vase. Card: birthday card, blank card or sympathy card. "
        "Never talk about politics."
    ),
    manner=Manner(
        requests=("Hi dear, I was hoping for {}", "My aunt turns 80, so {} it should be.", "Do you have {}?"),
        answers=("Oh, {} I think!", "{}, dear"),
        corrections=("Oh no dear, I had {} in mind", "Sorry to be a pain, but {} would be it"),
        joiner=" & ",
        content=("That will be lovely!", "Oh how nice of you."),
        farewells=("I better walk to the market.", "Goodness, my neighbour will do it."),
    ),
)
PRINT_SHOP = Shop(
    name="print shop",
    slots={
        "product": ("flyers", "posters", "booklets", "stickers"),
        "format": ("a3", "a4", "a5"),
        "paper": ("glossy", "matte", "recycled"),
        "run": ("100 copies", "250 copies", "1000 copies"),
        "ink": ("black and white", "full color"),
        "shipping": ("express", "standard"),
    },
    confirms=(
        "Job created. Product {product}; format {format}; paper {paper}; run {run}; ink {ink}; shipping {shipping}."
    ),
    what="a print job",
    menu=(
        "Order intake, internal. Allowed values. product: flyers | posters | booklets | stickers. "
        "format: A3 | A4 | A5. paper: glossy | matte | recycled. run: 100 copies | 250 copies | 1000 copies. "
        "ink: black and white | full color. shipping: express | standard."
    ),
    manner=Manner(
        requests=("PO 4471, please print {}.", "We require {}.", "Please quote and produce {}."),
        answers=("Use {}.", "{}"),
        corrections=("This deviates from our request. {} was specified.", "Rework: {}."),
        joiner="; ",
        content=("Approved, thank you.", "Good to proceed."),
        farewells=("We withdraw the request.", "Our buyer will contact a different vendor."),
    ),
)
SALON = Shop(
    name="hair salon",
    slots={
        "service": ("cut", "colouring", "blow dry", "perm"),
        "stylist": ("ana", "bo", "chris"),
        "day": ("monday", "wednesday", "saturday"),
        "time": ("morning", "noon", "evening"),
        "drink": ("tea", "prosecco", "water"),
    },
    confirms="You're in for a {service} with {stylist} on {day} {time}, {drink} included :)",
    asked={"time": "time of day"},
    what="an appointment",
    menu=(
        "Salon assistant. Services: cut, colouring, blow dry, perm. Stylists are Ana, Bo and Chris. "
        "Days: monday, wednesday and saturday. Time of day: morning, noon or evening. "
        "Guests choose from tea, prosecco or water as their drink."
    ),
    manner=Manner(
        requests=("hey!! can you squeeze me in: {}", "{} pls pls", "hiya, after {} this week"),
        answers=("{} works", "hmm {}!"),
        corrections=("eek no, {}", "wait i meant {}"),
        joiner=" / ",
        content=("yay perfect", "amazing see you then"),
        farewells=("ugh i'll just do it myself", "k nvm bye"),
    ),
)
SHOPS: tuple[Shop, ...] = (
    desk("order desk", None),
    desk("order desk, other phrasings", "chatty"),
    PIZZA,
    HOTEL,
    CAR_RENTAL,
    FLOWERS,
    PRINT_SHOP,
    SALON,
)
