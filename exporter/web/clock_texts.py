"""What the device clock page says, in each of its languages."""
# ruff: noqa: RUF001 - Cyrillic letters and typographic quotation marks are meant

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockTexts:
    """All texts of the page in one language.

    ``{difference}`` stands for a length of time that the browser writes out, such as "94 seconds": in the
    nominative, so a sentence puts it where that case is right. Names of settings are those of the systems:
    Android's "Automatic date and time" from the translations of its Settings, Google Authenticator's
    "Time correction for codes" from its own, iOS's from its user guide. That newer versions of the app have
    no time correction is from https://support.google.com/accounts/answer/1066447, the steps for older ones
    from https://support.google.com/accounts/answer/2653433.
    """

    tag: str  # BCP 47
    name: str  # of the language, in itself
    direction: Literal["ltr", "rtl"] = "ltr"

    languages: str  # label of the language menu
    title: str
    lead: str

    measuring: str
    behind: str
    ahead: str
    right: str
    refused: str  # more than a step of codes away
    doubtful: str  # less than that
    fine: str
    whole_hours: str

    unmeasured: str
    no_answer: str
    no_true_time: str
    no_script: str

    true_time: str
    phone_time: str
    again: str

    steps: str
    android: tuple[str, ...]
    ios_title: str
    ios: tuple[str, ...]
    authenticator_note: str
    authenticator: tuple[str, ...]
    authenticator_limit: str
    privacy: str

    joint: str = " "  # between hours and minutes, or minutes and seconds
    second: str  # abbreviations, for browsers that cannot write units
    minute: str
    hour: str
    day: str
    year: str


_ENGLISH: Final = ClockTexts(
    tag="en",
    name="English",
    languages="Language",
    title="Is your phone’s clock right?",
    lead=(
        "Codes from an authenticator app depend on the phone’s clock. Open this page on the phone that shows your"
        " codes."
    ),
    measuring="Measuring the clock…",
    behind="Your phone is {difference} behind.",
    ahead="Your phone is {difference} ahead.",
    right="Your phone’s clock is right (within {difference}).",
    refused="Codes will be refused until you turn on automatic date and time.",
    doubtful="That is a little off: codes may be refused now and then. Turn on automatic date and time.",
    fine="If your codes are refused all the same, the clock is not the cause: please tell support.",
    whole_hours=(
        "The difference is a whole number of hours: perhaps the time zone is wrong and the time was set by hand to"
        " match. Turn on the automatic time zone too."
    ),
    unmeasured="Your phone’s clock could not be measured.",
    no_answer="There was no answer. Check the internet connection and measure again. The steps below help in any case.",
    no_true_time=(
        "We do not know the exact time ourselves at the moment. Please try again later. The steps below help in any"
        " case."
    ),
    no_script="JavaScript is off or blocked, or this browser is too old. The steps below help in any case.",
    true_time="Correct time",
    phone_time="Your phone’s time",
    again="Measure again",
    steps="How to set the clock right",
    android=(
        "Open Settings, then System, then Date & time. On Samsung phones: General management, then Date and time.",
        "Turn on “Automatic date and time” and “Automatic time zone”. If they are on already, turn them off and on"
        " again.",
        "Come back to this page and measure again.",
    ),
    ios_title="iPhone and iPad",
    ios=(
        "Open Settings, then General, then Date & Time.",
        "Turn on “Set Automatically”. If it is on already, turn it off and on again.",
        "Come back to this page and measure again.",
    ),
    authenticator_note=(
        "Only if your app has it: on Android, before version 7.0. Newer versions, and the app on iPhone, go by the"
        " phone’s clock."
    ),
    authenticator=(
        "Open Google Authenticator, tap the menu, then Settings.",
        "Tap “Time correction for codes”, then “Sync now”.",
    ),
    authenticator_limit="This corrects the app only. This page goes on showing the phone’s own clock.",
    privacy="This page sets no cookies, stores nothing and contains no trackers.",
    joint=" and ",
    second="s",
    minute="min",
    hour="h",
    day="d",
    year="y",
)

_GERMAN: Final = ClockTexts(
    tag="de",
    name="Deutsch",
    languages="Sprache",
    title="Geht die Uhr Ihres Telefons richtig?",
    lead=(
        "Codes aus einer Authenticator-App hängen von der Uhr des Telefons ab. Öffnen Sie diese Seite auf dem"
        " Telefon, das Ihre Codes anzeigt."
    ),
    measuring="Die Uhr wird gemessen …",
    behind="Ihr Telefon geht {difference} nach.",
    ahead="Ihr Telefon geht {difference} vor.",
    right="Die Uhr Ihres Telefons geht richtig (auf {difference} genau).",
    refused="Codes werden abgelehnt, bis Sie Datum und Uhrzeit automatisch einstellen lassen.",
    doubtful=(
        "Das ist eine kleine Abweichung: Codes können ab und zu abgelehnt werden. Lassen Sie Datum und Uhrzeit"
        " automatisch einstellen."
    ),
    fine="Wenn Ihre Codes trotzdem abgelehnt werden, liegt es nicht an der Uhr: Bitte sagen Sie es dem Support.",
    whole_hours=(
        "Der Unterschied beträgt volle Stunden: Vielleicht ist die Zeitzone falsch, und die Uhrzeit wurde von Hand"
        " angepasst. Schalten Sie auch die automatische Zeitzone ein."
    ),
    unmeasured="Die Uhr Ihres Telefons konnte nicht gemessen werden.",
    no_answer=(
        "Es kam keine Antwort. Prüfen Sie die Internetverbindung und messen Sie noch einmal. Die Schritte unten"
        " helfen auf jeden Fall."
    ),
    no_true_time=(
        "Wir kennen die genaue Zeit im Moment selbst nicht. Bitte versuchen Sie es später noch einmal. Die Schritte"
        " unten helfen auf jeden Fall."
    ),
    no_script=(
        "JavaScript ist ausgeschaltet oder blockiert, oder dieser Browser ist zu alt. Die Schritte unten helfen auf"
        " jeden Fall."
    ),
    true_time="Richtige Zeit",
    phone_time="Zeit Ihres Telefons",
    again="Noch einmal messen",
    steps="So stellen Sie die Uhr richtig",
    android=(
        "Öffnen Sie die Einstellungen, dann „System“, dann „Datum & Uhrzeit“. Auf Samsung-Telefonen: „Allgemeine"
        " Verwaltung“, dann „Datum und Uhrzeit“.",
        "Schalten Sie „Datum und Uhrzeit automatisch einstellen“ und „Zeitzone automatisch einstellen“ ein. Sind sie"
        " schon an, schalten Sie sie aus und wieder ein.",
        "Kommen Sie auf diese Seite zurück und messen Sie noch einmal.",
    ),
    ios_title="iPhone und iPad",
    ios=(
        "Öffnen Sie die Einstellungen, dann „Allgemein“, dann „Datum & Uhrzeit“.",
        "Schalten Sie „Automatisch einstellen“ ein. Ist es schon an, schalten Sie es aus und wieder ein.",
        "Kommen Sie auf diese Seite zurück und messen Sie noch einmal.",
    ),
    authenticator_note=(
        "Nur wenn Ihre App es hat: unter Android, vor Version 7.0. Neuere Versionen und die App auf dem iPhone richten"
        " sich nach der Uhr des Telefons."
    ),
    authenticator=(
        "Öffnen Sie Google Authenticator, tippen Sie auf das Menü, dann auf „Einstellungen“.",
        "Tippen Sie auf „Zeitkorrektur für Codes“, dann auf „Jetzt synchronisieren“.",
    ),
    authenticator_limit="Das korrigiert nur die App. Diese Seite zeigt weiterhin die Uhr des Telefons.",
    privacy="Diese Seite setzt keine Cookies, speichert nichts und enthält keine Tracker.",
    joint=" und ",
    second="s",
    minute="min",
    hour="Std.",
    day="T",
    year="J",
)

_SPANISH: Final = ClockTexts(
    tag="es",
    name="Español",
    languages="Idioma",
    title="¿Está en hora el reloj de su teléfono?",
    lead=(
        "Los códigos de una aplicación de autenticación dependen del reloj del teléfono. Abra esta página en el"
        " teléfono que muestra sus códigos."
    ),
    measuring="Midiendo el reloj…",
    behind="Su teléfono va {difference} atrasado.",
    ahead="Su teléfono va {difference} adelantado.",
    right="El reloj de su teléfono está en hora (con un margen de {difference}).",
    refused="Los códigos se rechazarán hasta que active la fecha y hora automáticas.",
    doubtful=(
        "Es una pequeña diferencia: algún código puede ser rechazado de vez en cuando. Active la fecha y hora"
        " automáticas."
    ),
    fine="Si aun así se rechazan sus códigos, la causa no es el reloj: comuníquelo al servicio de asistencia.",
    whole_hours=(
        "La diferencia es de horas enteras: quizá la zona horaria sea incorrecta y la hora se haya ajustado a mano."
        " Active también la zona horaria automática."
    ),
    unmeasured="No se ha podido medir el reloj de su teléfono.",
    no_answer=(
        "No hubo respuesta. Compruebe la conexión a internet y vuelva a medir. Los pasos siguientes sirven en"
        " cualquier caso."
    ),
    no_true_time=(
        "En este momento no conocemos la hora exacta. Inténtelo de nuevo más tarde. Los pasos siguientes sirven en"
        " cualquier caso."
    ),
    no_script=(
        "JavaScript está desactivado o bloqueado, o este navegador es demasiado antiguo. Los pasos siguientes sirven"
        " en cualquier caso."
    ),
    true_time="Hora correcta",
    phone_time="Hora de su teléfono",
    again="Volver a medir",
    steps="Cómo poner el reloj en hora",
    android=(
        "Abra Ajustes, después Sistema y después Fecha y hora. En teléfonos Samsung: Administración general y después"
        " Fecha y hora.",
        "Active «Fecha y hora automáticas» y «Zona horaria automática». Si ya están activadas, desactívelas y vuelva a"
        " activarlas.",
        "Regrese a esta página y vuelva a medir.",
    ),
    ios_title="iPhone y iPad",
    ios=(
        "Abra Ajustes (o Configuración), después General y después Fecha y hora.",
        "Active «Ajuste automático». Si ya está activado, desactívelo y vuelva a activarlo.",
        "Regrese a esta página y vuelva a medir.",
    ),
    authenticator_note=(
        "Solo si su aplicación lo tiene: en Android, antes de la versión 7.0. Las versiones más recientes y la"
        " aplicación para iPhone usan el reloj del teléfono."
    ),
    authenticator=(
        "Abra Google Authenticator, toque el menú y después Ajustes.",
        "Toque «Corrección de la hora para los códigos» y después «Sincronizar ahora».",
    ),
    authenticator_limit="Esto corrige solo la aplicación. Esta página seguirá mostrando el reloj del teléfono.",
    privacy="Esta página no usa cookies, no guarda nada y no contiene rastreadores.",
    joint=" y ",
    second="s",
    minute="min",
    hour="h",
    day="d",
    year="a",
)

_RUSSIAN: Final = ClockTexts(
    tag="ru",
    name="Русский",
    languages="Язык",
    title="Правильно ли идут часы вашего телефона?",
    lead=(
        "Коды из приложения-аутентификатора зависят от часов телефона. Откройте эту страницу на том телефоне, который"
        " показывает ваши коды."
    ),
    measuring="Измеряем часы…",
    behind="Часы телефона отстают. Разница: {difference}.",
    ahead="Часы телефона спешат. Разница: {difference}.",
    right="Часы телефона идут правильно. Возможная погрешность: {difference}.",
    refused="Коды не будут приниматься, пока вы не включите автоматическое определение даты и времени.",
    doubtful=(
        "Это небольшое расхождение: иногда код может быть не принят. Включите автоматическое определение даты и"
        " времени."
    ),
    fine="Если коды всё равно не принимаются, дело не в часах: сообщите об этом в службу поддержки.",
    whole_hours=(
        "Разница составляет целое число часов: возможно, выбран неверный часовой пояс, а время подведено вручную."
        " Включите и автоматическое определение часового пояса."
    ),
    unmeasured="Часы вашего телефона не удалось измерить.",
    no_answer=(
        "Ответа не было. Проверьте подключение к интернету и повторите измерение. Шаги ниже помогут в любом случае."
    ),
    no_true_time=(
        "Сейчас мы сами не знаем точного времени. Повторите попытку позже. Шаги ниже помогут в любом случае."
    ),
    no_script=("JavaScript отключён или заблокирован, или браузер слишком старый. Шаги ниже помогут в любом случае."),
    true_time="Точное время",
    phone_time="Время на вашем телефоне",
    again="Измерить ещё раз",
    steps="Как настроить часы",
    android=(
        "Откройте «Настройки», затем «Система», затем «Дата и время». На телефонах Samsung: «Общие настройки», затем"
        " «Дата и время».",
        "Включите «Автоматическое определение даты и времени» и «Автоматическое определение часового пояса». Если они"
        " уже включены, выключите их и включите снова.",
        "Вернитесь на эту страницу и повторите измерение.",
    ),
    ios_title="iPhone и iPad",
    ios=(
        "Откройте «Настройки», затем «Основные», затем «Дата и время».",
        "Включите «Автоматически». Если параметр уже включён, выключите его и включите снова.",
        "Вернитесь на эту страницу и повторите измерение.",
    ),
    authenticator_note=(
        "Только если это есть в вашем приложении: на Android, до версии 7.0. Более новые версии и приложение для"
        " iPhone используют часы телефона."
    ),
    authenticator=(
        "Откройте Google Authenticator, нажмите на меню, затем «Настройки».",
        "Нажмите «Коррекция времени для кодов», затем «Синхронизировать».",
    ),
    authenticator_limit="Это исправит только приложение. Страница по-прежнему будет показывать часы самого телефона.",
    privacy="Эта страница не использует cookie, ничего не сохраняет и не содержит трекеров.",
    second="с",
    minute="мин",
    hour="ч",
    day="дн.",
    year="г.",
)

_ARABIC: Final = ClockTexts(
    tag="ar",
    name="العربية",
    direction="rtl",
    languages="اللغة",
    title="هل ساعة هاتفك مضبوطة؟",
    lead="تعتمد رموز تطبيق المصادقة على ساعة الهاتف. افتح هذه الصفحة على الهاتف الذي يعرض رموزك.",
    measuring="جارٍ قياس الساعة…",
    behind="ساعة هاتفك متأخرة. الفارق: {difference}.",
    ahead="ساعة هاتفك متقدمة. الفارق: {difference}.",
    right="ساعة هاتفك مضبوطة. أقصى فارق ممكن: {difference}.",
    refused="ستُرفض الرموز إلى أن تفعّل الضبط التلقائي للتاريخ والوقت.",
    doubtful="هذا فارق صغير: قد تُرفض الرموز أحيانًا. فعّل الضبط التلقائي للتاريخ والوقت.",
    fine="إذا ظلت رموزك تُرفض فالساعة ليست السبب: يُرجى إبلاغ فريق الدعم.",
    whole_hours=(
        "الفارق عدد صحيح من الساعات: ربما تكون المنطقة الزمنية خاطئة وضُبط الوقت يدويًا. فعّل أيضًا المنطقة الزمنية"
        " التلقائية."
    ),
    unmeasured="تعذّر قياس ساعة هاتفك.",
    no_answer="لم يصل أي رد. تحقق من الاتصال بالإنترنت وأعد القياس. الخطوات أدناه مفيدة في كل الأحوال.",
    no_true_time="لا نعرف نحن الوقت الدقيق في هذه اللحظة. يُرجى المحاولة لاحقًا. الخطوات أدناه مفيدة في كل الأحوال.",
    no_script="لغة JavaScript معطلة أو محظورة، أو هذا المتصفح قديم جدًا. الخطوات أدناه مفيدة في كل الأحوال.",
    true_time="الوقت الصحيح",
    phone_time="وقت هاتفك",
    again="إعادة القياس",
    steps="كيف تضبط الساعة",
    android=(
        "افتح «الإعدادات»، ثم «النظام»، ثم «التاريخ والوقت». على هواتف Samsung: «الإدارة العامة»، ثم «التاريخ والوقت».",
        "فعّل «التاريخ والوقت التلقائي» و«المنطقة الزمنية التلقائية». إذا كانا مفعّلين فأوقفهما ثم فعّلهما من جديد.",
        "ارجع إلى هذه الصفحة وأعد القياس.",
    ),
    ios_title="iPhone وiPad",
    ios=(
        "افتح «الإعدادات»، ثم «عام»، ثم «التاريخ والوقت».",
        "فعّل «الضبط تلقائيًا». إذا كان مفعّلًا فأوقفه ثم فعّله من جديد.",
        "ارجع إلى هذه الصفحة وأعد القياس.",
    ),
    authenticator_note=(
        "فقط إذا كان ذلك متاحًا في تطبيقك: على Android، قبل الإصدار 7.0. الإصدارات الأحدث والتطبيق على iPhone تعتمد على"
        " ساعة الهاتف."
    ),
    authenticator=(
        "افتح Google Authenticator، واضغط على القائمة، ثم «الإعدادات».",
        "اضغط على «التصحيح الزمني للرموز»، ثم «مزامنة الآن».",
    ),
    authenticator_limit="هذا يصحح التطبيق وحده. ستظل هذه الصفحة تعرض ساعة الهاتف نفسه.",
    privacy="هذه الصفحة لا تستخدم ملفات تعريف الارتباط، ولا تخزّن شيئًا، ولا تحتوي على أدوات تتبّع.",
    joint=" و",
    second="ث",
    minute="د",
    hour="س",
    day="يوم",
    year="سنة",
)

_CHINESE: Final = ClockTexts(
    tag="zh-Hans",
    name="简体中文",
    languages="语言",
    title="您手机的时间准确吗？",
    lead="身份验证器应用生成的验证码取决于手机的时间。请在显示验证码的那部手机上打开本页面。",
    measuring="正在测量时间…",
    behind="您的手机慢了{difference}。",
    ahead="您的手机快了{difference}。",
    right="您手机的时间准确（误差不超过{difference}）。",
    refused="在您开启自动设置日期和时间之前，验证码会被拒绝。",
    doubtful="有一点偏差：验证码偶尔可能会被拒绝。请开启自动设置日期和时间。",
    fine="如果验证码仍被拒绝，原因不在时间：请告知客服。",
    whole_hours="相差整数小时：可能是时区设置有误，而时间又被手动调整过。请同时开启自动设置时区。",
    unmeasured="无法测量您手机的时间。",
    no_answer="没有收到应答。请检查网络连接，然后重新测量。无论如何，以下步骤都会有帮助。",
    no_true_time="我们目前自己也无法确定准确时间。请稍后再试。无论如何，以下步骤都会有帮助。",
    no_script="JavaScript 已关闭或被阻止，或者此浏览器版本过旧。无论如何，以下步骤都会有帮助。",
    true_time="准确时间",
    phone_time="您手机的时间",
    again="重新测量",
    steps="如何校准时间",
    android=(
        "打开“设置”，然后依次点按“系统”和“日期和时间”。三星手机：“常规管理”，然后“日期和时间”。",
        "开启“自动设置日期和时间”和“自动设置时区”（名称因手机而异）。如果已经开启，请先关闭再重新开启。",
        "返回本页面并重新测量。",
    ),
    ios_title="iPhone 和 iPad",
    ios=(
        "打开“设置”，然后依次点按“通用”和“日期与时间”。",
        "开启“自动设置”。如果已经开启，请先关闭再重新开启。",
        "返回本页面并重新测量。",
    ),
    authenticator_note="仅当您的应用有此功能时：安卓版 7.0 之前的版本。更新的版本和 iPhone 版使用手机的时间。",
    authenticator=(
        "打开 Google 身份验证器，点按菜单，然后点按“设置”。",
        "点按“校正用来生成验证码的时间”，然后点按“立即同步”。",
    ),
    authenticator_limit="这只会校正该应用。本页面仍会显示手机自身的时间。",
    privacy="本页面不使用 Cookie，不存储任何内容，也不含跟踪器。",
    joint="",
    second="秒",
    minute="分",
    hour="小时",
    day="天",
    year="年",
)

DEFAULT: Final = _ENGLISH

# By primary language, in the order of the menu.
TEXTS: Final[Mapping[str, ClockTexts]] = MappingProxyType(
    {texts.tag.partition("-")[0]: texts for texts in (_ENGLISH, _GERMAN, _SPANISH, _RUSSIAN, _ARABIC, _CHINESE)}
)
