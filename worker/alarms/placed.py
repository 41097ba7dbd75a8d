"""What is wrong in a text, and where: both languages of CloudWatch's refuse alike."""


class PlacedError(ValueError):
    """A text that cannot be read.

    Attributes:
        at: Where in the text, counted from 1.
        what: What is wrong there.
    """

    def __init__(self, text: str, at: int, what: str) -> None:
        """Say it so that the place is seen."""
        self.at, self.what = at, what
        super().__init__(f"{text!r}, character {at}: {what}")
