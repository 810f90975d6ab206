"""JPEGs in arithmetic code, whose decoders take zeros for what is missing, say what they have lost.

Pillow cannot write any: these are a photo of 56 x 40 pixels as `jpegtran -arithmetic` writes it.
"""

import base64

import numpy as np
import pytest
from pictures import apart, decoded, opened, pixels, refusal

EOI = b"\xff\xd9"
PLACES = (0.05, 0.3, 0.5, 0.7, 0.9)
TEXTS = {
    "sequential": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV02>k%7Zed27Zw*D92+1gLMtdGB`8rkJupIGRb^yfRb5+Zc$tA}agcLcU4^xVke;Kft*d8%yve$z$C;"
        "?Br2pFhLjfEf9w;LyPAe-"
        ";q;6eqq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@@4J01*fPC;&JE0U`hb5di}c0sqVZ3IGrg1pyEd1^"
        "?Or3<CiG0ucid06zfzDa5R?bU2wjhwR9g1?Sz;^vDnW8QZ8+i1i7YMvTC$AdjcK65|gvkCLa2G1c%TPw4PROJtcBhWfjr1H!G5@vkIJPL)1~"
        "<(jXUpCUg`jyQIFt+dSIl;2rjy%zC%*6)f6+{t_p@{{7{s+2~g<&`0JqIk!#?;Lzc)>>i1G!gJQ@cSTwJON|qtJm8A){ud|(7AxYr*Qg?iIu"
        "P^t%Hs27hgIey<xvKDsJSwZwBB%&v{)tV1K%bo_g)qoX$lMrw^Nxd&{l25%|hBlg_~Llh?2N{<_uJOE054dLCjvwkKS=>Lbeo0BjGBPHDPC@"
        "F6}3M3f|sI%@62d)fTHEI<108(9T?yq--W$%y#%GN*goSQ&EQUC3Nzg|&@~rU|aO^Lzwv_Q1d-"
        "I$}w*YG;iqx%aN_ekceDB_wh&Amu8^V_pV6bHjw<L{+GE1OOlLh%pSlG1)Co+!wH*|Je"
    ),
    "progressive": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV02>k%7Zed27Zw*D92+1gLMtdGB`8rkJupIGRb^yfRb5+Zc$tA}agcLcU4^xVke;Kft*d8%yve$z$C;"
        "?Br2pFhLjfEf9w;LyPAe-"
        ";q;6eqq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@@4K01*fPC;&JE0U`hb5di}c0sqVZ1^^HN5dYc$3<"
        "CiG0uTcb0005`h$soewD%TDgPA1Z1zA<WCTQ84wA5d_?;9^Tp<5|v+Sh<ZA>zjW%m4%s1^?Or2mt{A0R;jI@}t8mnF4JcPT}8>B@n%T*;Yox"
        "hGDn`0)kYi3JQ026+3*Y!TFni|I7dc5e5I+00;pC0RcY&@_*Wj3+bnj|I7dc5e5I+00;pB0RcY&`9XM;MID%w|I7dc5C#9*00;pA00ut-"
        "(jlgX?c5?OyG=@~LI2DE1P}%P+5iXv0RRC%AyPKd-8(u)ykMIk`{xAIbe#*x#DB1GE@;$=htD4#UlZzy<69yY1SoaNMLM_H-"
        "V5Vh96Y|?p8S1EbqrTv*`Bw5yu_2KqY<@$|Jncy0|5X600RI301(m~zzZvA{{YsC|I7dc5e5I+00;pC0RcY{rM~K;^_OZm1Aox@)Oj-"
        "h%m4%t1^?Or2mt~C0Y4B<l=GG??C?h+^$HlZX4trZ|I7dc5C#9*00;pA00BP`&9ybdn66vJQn|^{iZ)}&e}#TTmrB@hDgOWpN@^2`Ba&_7nU"
        "lZ?`1Z6qExjQYq6T5+Y#=yz3yz&|!@dl7t*9Ws0zD~)c0B^qnkh%p#tax=!y<6Zj@AOCxmYomv%^z$#!LGFHyQQz86nH-"
        "wy#~w(-L4o!tpv}AdG>sl$6LTfvaSI|Je"
    ),
    "restarts": (
        "|JeWF01!$>Nk#wx0RR9200961|JwjV02>k%7Zed27Zw*D92+1gLMtdGB`8rkJupIGRb^yfRb5+Zc$tA}agcLcU4^xVke;Kft*d8%yve$z$C;"
        "?Br2pFhLjfEf9w;LyPAe-"
        ";q;6eqq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@<*zq@@4J01*fPC;&JE0U`hb5di}c0sqVZ3IGrg1pyEd1^"
        "?Xu1ONp8+5ij#0RRFK0}%i}0R1V%tg&=BnLLN=$d?7@-"
        "O}{P5B(Y2s8fjb37STXz^ovTr@Rv54>XUGr;Rby@Fh>^@JCBznHProyP^Zat&#DsBu!40K8NL+ub7`AKTnQ0c6_b0%;J>aSzo;t@q5<qiVED"
        "xd=T=J;^(TAMx^DHA$Fp8$Fc7md`Q+>VZ$^L@Hz1NAc8yrW9X~b+W^*(fxghWfdA0l9RhzNt509M@F1{b_QxP`9j*^Rq`F9B$FYjx-"
        "~M5PKb<<9eH+0ag){bM531(YL|Uu{<ATfYG7_NEuaAZ$r*g7O<gsnt7PBsdk@`gJXs0+N67Or!)c1OG{DqAgLQe(hVH(`YO>wiqSq`Y!yd0}"
        "J9l2zz$`N70GluZk#;`8DVuRJ`<+69^{{U-Su^mus_#x1x=A+T&-"
        "C=D1(f(=2C8oYe!88jJnNse)eW$NOe*XZLh%bC&EnFHcA>WJKzW@X6<8EMnb5)0_q%boRwl0orIZH=1RF~zGmQ>RjA+LuL|Je"
    ),
}
FILES = {name: base64.b85decode(text) for name, text in TEXTS.items()}


def places(data):
    """Where the code of the first scan begins, and places in what follows."""
    start = data.index(b"\xff\xda")
    start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return [start + int(share * (len(data) - 2 - start)) for share in PLACES]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("end", [b"", bytes(40), b"\xff\xd9 and more", EOI + bytes(40)])
def test_a_whole_one_is_read_whatever_follows(name, end):
    data = FILES[name]
    read = decoded(data if end == b"" else data[:-2] + end)
    assert apart(read.image, opened(data).convert("RGB")) == 0
    assert (read.complete, read.present) == (True, 100.0)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("end", [b"", EOI])
def test_one_that_ends_early_is_refused_or_read_as_incomplete(name, end):
    data = FILES[name]
    for place in places(data):
        assert refusal(data[:place] + end).startswith("truncated" if name != "restarts" else ("truncated", "damaged"))
        read = decoded(data[:place] + end, truncated="read")
        assert not read.complete
        assert read.image.size == (56, 40)


DAMAGES = {
    "zeros": lambda data, place: data[:place] + bytes(60) + data[place + 60 :],
    "another place's bytes": lambda data, place: data[:place] + data[place - 40 : place] + data[place + 40 :],
    "bytes gone": lambda data, place: data[:place] + data[place + 25 :],
    "bytes twice": lambda data, place: data[:place] + data[place - 25 :],
    "a piece of each": lambda data, place: data[:place] + data[places(data)[0] :],
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_one_that_lost_data_in_its_middle_is_never_taken_for_whole(name, damage):
    data = FILES[name]
    right, seen = pixels(data), 0
    for place in places(data)[1:4]:
        damaged = DAMAGES[damage](data, place)
        read = decoded(damaged, truncated="read")
        seen += not read.complete
        assert not read.complete or apart(read.image, right) == 0
        assert read.complete or refusal(damaged)
    assert seen


def test_a_progressive_one_is_whole_only_with_all_its_scans():
    data = FILES["progressive"]
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for place in scans[1:]:
        assert refusal(data[:place] + EOI).startswith("truncated")
        assert not decoded(data[:place] + EOI, truncated="read").complete


def test_restart_markers_in_disorder_are_seen():
    data = FILES["restarts"]
    at = data.index(b"\xff\xd1")
    for damaged in (data[:at] + data[at + 2 :], data[: at + 1] + b"\xd5" + data[at + 2 :]):
        assert refusal(damaged)
    assert np.array_equal(pixels(data), pixels(FILES["sequential"]))
