import torch

from afdcli.methods.ddp import DDPConfig, DDPModule


def test_module_is_about_as_large_as_published_and_changes_nothing_untrained() -> None:
    module = DDPModule(DDPConfig(64))
    assert 110_000 < sum(parameter.numel() for parameter in module.parameters()) < 125_000
    features, images = torch.randn(2, 64, 13, 17), torch.rand(2, 3, 50, 66)
    assert torch.equal(module.mend(features, images)[0], features)


def test_module_sees_the_features_and_the_image() -> None:
    module = DDPModule(DDPConfig(8, (4, 2)))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    features, images = torch.randn(1, 8, 9, 9), torch.rand(1, 3, 36, 36)
    mended = module.mend(features, images)[0]
    assert mended.shape == features.shape
    assert not torch.equal(module.mend(features, 1 - images)[0], mended)
    assert not torch.equal(module.mend(-features, images)[0] + 2 * features, mended)
