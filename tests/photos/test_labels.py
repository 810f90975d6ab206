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
