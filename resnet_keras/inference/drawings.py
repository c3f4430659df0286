"""A few things drawn by the package, to show a CIFAR-10 network without any data set at hand.

They are toys: flat colours and few corners, unlike any photograph that a network has learnt from.
"""

from __future__ import annotations

SIDE = 400  # pixels
SEA, SKY, GRASS, ROAD = "#24527a", "#9cc4e8", "#5b8c3e", "#77716b"
GLASS, TYRE, RED, WHITE, BLUE = "#24303a", "#161616", "#c22a22", "#f0eee8", "#2a5caa"
SKIN, EYE, FEATHER, WING = "#3f6b1f", "#e9d24a", "#7a4a2a", "#5e3820"

# Class -> background, then (form, corners in hundredths of the side, colour) from back to front.
DRAWINGS = {
    "ship": (
        SKY,
        ("rectangle", (0, 62, 100, 100), SEA),
        ("polygon", (8, 55, 92, 55, 80, 74, 20, 74), RED),
        ("rectangle", (30, 38, 68, 55), WHITE),
        ("rectangle", (42, 22, 52, 38), GLASS),
    ),
    "airplane": (
        SKY,
        ("ellipse", (8, 42, 92, 58), WHITE),
        ("polygon", (40, 50, 58, 50, 34, 88, 24, 88), "#c3c9cf"),
        ("polygon", (44, 46, 58, 46, 40, 18, 32, 18), "#d3d8dd"),
        ("polygon", (80, 46, 92, 48, 96, 24, 88, 24), RED),
    ),
    "automobile": (
        ROAD,
        ("rectangle", (0, 0, 100, 50), SKY),
        ("rectangle", (8, 48, 92, 70), RED),
        ("polygon", (26, 48, 36, 30, 68, 30, 78, 48), RED),
        ("polygon", (32, 47, 39, 34, 65, 34, 72, 47), GLASS),
        ("ellipse", (18, 60, 38, 80), TYRE),
        ("ellipse", (62, 60, 82, 80), TYRE),
    ),
    "truck": (
        ROAD,
        ("rectangle", (0, 0, 100, 45), SKY),
        ("rectangle", (4, 22, 62, 70), WHITE),
        ("rectangle", (64, 36, 94, 70), BLUE),
        ("rectangle", (74, 40, 92, 54), GLASS),
        ("ellipse", (12, 62, 30, 80), TYRE),
        ("ellipse", (68, 62, 86, 80), TYRE),
    ),
    "frog": (
        GRASS,
        ("ellipse", (16, 40, 84, 90), SKIN),
        ("ellipse", (24, 22, 46, 46), SKIN),
        ("ellipse", (54, 22, 76, 46), SKIN),
        ("ellipse", (30, 28, 41, 40), EYE),
        ("ellipse", (59, 28, 70, 40), EYE),
        ("ellipse", (34, 32, 38, 37), TYRE),
        ("ellipse", (63, 32, 67, 37), TYRE),
    ),
    "bird": (
        SKY,
        ("ellipse", (28, 36, 78, 70), FEATHER),
        ("ellipse", (16, 26, 42, 50), FEATHER),
        ("polygon", (18, 36, 18, 42, 6, 40), "#e0a020"),
        ("polygon", (72, 48, 96, 40, 92, 58), WING),
        ("polygon", (44, 46, 74, 50, 54, 62), WING),
        ("ellipse", (23, 33, 28, 38), TYRE),
    ),
}


def draw(name: str):
    """One of `DRAWINGS` as a Pillow picture of mode RGB, `SIDE` pixels high and wide."""
    from PIL import Image, ImageDraw

    background, *parts = DRAWINGS[name]
    picture = Image.new("RGB", (SIDE, SIDE), background)
    pen = ImageDraw.Draw(picture)
    for form, corners, colour in parts:
        getattr(pen, form)([SIDE * place // 100 for place in corners], fill=colour)
    return picture
