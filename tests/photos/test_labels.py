import re
from unicodedata import normalize

import pytest
from timm.data import ImageNetInfo

from afdcli.errors import WrongUse
from afdcli.photos.labels import Labels, labels_of
from afdcli.photos.sources import Source


@pytest.fixture(scope="module")
def labels():
    """ImageNet's."""
    info = ImageNetInfo("imagenet-1k")
    return Labels(tuple(map(info.index_to_description, range(1000))), tuple(map(info.index_to_label_name, range(1000))))


def sources(*folders):
    return [Source(f"{folder}/photo.jpg", f"{folder}/photo.jpg") for folder in folders]


@pytest.mark.parametrize(
    ("folder", "index"),
    [
        ("n01440764", 0),
        ("n02123045", 281),
        ("281", 281),
        ("0", 0),
        ("999", 999),
        ("tabby", 281),
        ("Tabby", 281),
        ("tabby cat", 281),
        ("tabby_cat", 281),
        ("TABBY-CAT", 281),
        ("tabby, tabby cat", 281),
        ("great_white_shark", 2),
        ("golden_retriever", 207),
    ],
)
def test_a_folder_is_a_class_by_wnid_index_label_or_synonym(labels, folder, index):
    assert labels_of(sources(folder), labels) == [index]


def test_labels_depend_on_no_other_folder(labels):
    names = ["n01440764", "tabby", "999"]
    assert labels_of(sources(*names), labels) == [0, 281, 999]
    for first in names:
        assert labels_of(sources(first), labels) == [labels_of(sources(*names), labels)[names.index(first)]]


def test_photos_deeper_in_a_class_folder_belong_to_it(labels):
    assert labels_of(sources("tabby/indoors/2024", "tabby"), labels) == [281, 281]


@pytest.mark.parametrize("name", ["crane", "Crane", "maillot"])
def test_a_name_of_two_classes_is_refused(labels, name):
    with pytest.raises(WrongUse, match=f"'{name}' could be class .* or .*index"):
        labels_of(sources(name), labels)


def test_a_wnid_of_one_of_two_classes_that_share_a_name_is_fine(labels):
    assert labels_of(sources("n02012849", "517"), labels) == [134, 517]


@pytest.mark.parametrize("stranger", ["mycat", "1000", "-1", "n99999999", "²"])
def test_a_folder_that_is_no_class_is_refused_by_name(labels, stranger):
    with pytest.raises(WrongUse, match=f"1 of 2 folders.*'{stranger}'"):
        labels_of(sources("tabby", stranger), labels)


def test_a_photo_beside_the_class_folders_is_refused(labels):
    with pytest.raises(WrongUse, match="the dataset's own folder"):
        labels_of([*sources("tabby"), Source("loose.jpg", "loose.jpg")], labels)


def test_photos_without_class_folders_have_no_labels(labels):
    assert labels_of([Source("a.jpg", "a.jpg"), *sources("holiday")], labels) == [None, None]


def test_a_number_that_is_a_label_means_the_label():
    assert labels_of(sources("7"), Labels(("8", "7"))) == [1]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD", "NFKC"])
@pytest.mark.parametrize("name", ["crème brûlée", "jalapeño", "Ångström", "한국", "ǖ", "straße", "İstanbul"])
def test_names_are_compared_as_unicode_text(name, form, other):
    labels = Labels((normalize(form, name), "other"))
    assert labels_of(sources(normalize(other, name), "other"), labels) == [0, 1]
    assert labels_of(sources(normalize(other, name.upper())), labels) == [0]


NEARLY = {
    "N01440764": "n01440764",
    "n01440764 tench": "n01440764",
    "n01440764-tench": "n01440764",
    "tench_n01440764": "n01440764",
    "jack-o-lantern": "jack-o'-lantern",
    "jack o lantern": "jack-o'-lantern",
    "goldfsh": "goldfish, Carassius auratus",
    "281_tabby": "tabby, tabby cat",
    "001.tench": "tench, Tinca tinca",
    "tabby (2)": "tabby, tabby cat",
    "papillons": "papillon",
    "great.white.shark": "great white shark",
}


@pytest.mark.parametrize("folder", NEARLY)
def test_a_folder_that_is_near_a_class_is_named_with_it(labels, folder):
    near = re.escape(NEARLY[folder])
    with pytest.raises(WrongUse, match=f"No folder is named like a class, and 1 of 2 nearly: '.*near '{near}"):
        labels_of(sources(folder, "holiday"), labels)
    with pytest.raises(WrongUse, match=f"1 of 2 folders.*no class.*near '{near}"):
        labels_of(sources(folder, "n02123045"), labels)


@pytest.mark.parametrize("accent", ["creme brulee", "Creme_Brulee", "crèmebrûlée"])
def test_a_name_without_its_accents_is_near(accent):
    with pytest.raises(WrongUse, match="near 'crème brûlée'"):
        labels_of(sources(accent), Labels(("crème brûlée", "cat")))


@pytest.mark.parametrize(
    "folder",
    [
        "2024/7",
        "2024/castle",
        "2023-07 Italy",
        "holiday",
        "IMG",
        "photos",
        "DCIM",
        "100CANON",
        "Family",
        "Ägypten",
        "misc",
        "a",
    ],
)
def test_albums_are_near_no_class(labels, folder):
    assert labels_of(sources(folder, "2024/rome", "2024/paris"), labels) == [None] * 3


@pytest.mark.parametrize(("folder", "above"), [("val/n01440764", "val"), ("data/test/tabby", "data/test")])
def test_classes_one_level_too_deep_are_named(labels, folder, above):
    with pytest.raises(WrongUse, match=f"too deep, such as '{folder}'. Give the folder that they are in, '{above}'"):
        labels_of(sources(folder, "holiday/rome"), labels)


def test_a_dataset_that_is_a_class_itself_is_named(labels):
    photos = [Source("/data/n01440764/a.jpg", "a.jpg"), Source("/data/n01440764/b.jpg", "b.jpg")]
    with pytest.raises(WrongUse, match="of one class, 'n01440764'"):
        labels_of(photos, labels)
