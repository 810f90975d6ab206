"""What was measured, as rows and as a table."""

from afdcli.results.accuracy import markdown

ROW = {
    "backbone": "net", "weights": "none", "codec": "clean", "quality": None, "passes": 0, "order": "crop-first",
    "images": 500, "top1": 90.0, "top1_low": 87.0, "top1_high": 92.5, "top5": 99.0, "difference": None,
    "p_value": None, "recovered": None, "agreement": 100.0, "bytes_per_pixel": 0.5, "parameters": 0, "macs": 0,
}  # fmt: skip
ROWS = [
    ROW,
    {**ROW, "codec": "jpeg", "quality": 10, "passes": 1, "top1": 60.0, "agreement": 61.0},
    {**ROW, "weights": "m", "difference": 0.0, "p_value": 1.0, "parameters": 1234, "macs": 5678},
    {**ROW, "weights": "m", "codec": "jpeg", "quality": 10, "passes": 1, "top1": 75.0, "p_value": 0.01},
]


def test_the_table_for_a_paper_has_means_shares_and_costs():
    assert markdown(ROWS, {"none": 5.0, "m": 6.25}).splitlines() == [
        "net, 500 photos, crop-first.",
        "",
        "| top-1, % | none | m |",
        "| --- | --- | --- |",
        "| undamaged | 90.0 (87.0 - 92.5) | 90.0 (87.0 - 92.5) |",
        r"| JPEG 10 | 60.0 (87.0 - 92.5) | 75.0\* (87.0 - 92.5) |",
        "| mean of the damaged | 60.0 | 75.0 |",
        "| recovered |  | 50.0 % |",
        "| parameters added | 0 | 1,234 |",
        "| multiply-adds added | 0 | 5,678 |",
        "| milliseconds an image | 5.0 | 6.2 |",
    ]


def test_names_in_the_table_are_told_apart_and_break_no_column():
    renamed = {"none": "a/x|$y_.safetensors", "m": "b/x|$y_.safetensors"}
    rows = [{**row, "weights": renamed[row["weights"]]} for row in ROWS]
    head = markdown(rows, dict.fromkeys(renamed.values(), 1.0)).splitlines()[2]
    assert head == r"| top-1, % | a/x\|\$y\_ | b/x\|\$y\_ |"
