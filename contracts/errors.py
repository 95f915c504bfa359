"""Every error of OneWindow: four families by what the program does next, and a code for each finding.

    OneWindowError
      ConfigError       stop before anything starts; only a changed setting helps     exit 78
      RetryLater        back off, try the same work again; nothing was lost           exit 69 or 75
      RecordRejected    this one record goes to quarantine; the next goes on          never ends a program
      InvariantBroken   stop this partition, keep its position; a person must look    exit 1, 78 where a setting is to
                                                                                     blame, 70 where OneWindow is

A leaf class is one code. Its docstring says what it means and how it comes about, ``chinese`` says it in Chinese, and
``onewindow explain CODE`` prints both.
"""

from __future__ import annotations

from typing import ClassVar


class OneWindowError(Exception):
    """A finding, with the way to mend it. Values of residents are masked by whoever raises it."""

    code: ClassVar[str] = ""
    chinese: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1

    def __init__(self, finding: str, *, fix: str) -> None:
        super().__init__(f"{self.code}: {finding}\n  fix: {fix}")
        self.finding, self.fix = finding, fix


class ConfigError(OneWindowError):
    """Stop before anything starts; only a changed setting helps."""

    exit_code = 78


class RetryLater(OneWindowError):
    """Back off, then try the same work again; nothing was lost or half done."""

    exit_code = 75


class RecordRejected(OneWindowError):
    """Quarantine this one record with its reason, count it, go on with the next."""


class InvariantBroken(OneWindowError):
    """Stop this partition and keep its position; a person must look."""


# 11xx: settings ------------------------------------------------------------------------------------------------------


class DeploymentMissing(ConfigError):
    """The directory given with -C holds no onewindow.yaml: it is not a deployment."""

    code, chinese = "OW-1101", "目录中没有 onewindow.yaml,不是一个部署"


class SettingUnknown(ConfigError):
    """A key of onewindow.yaml or of a source file is not a setting. The message names the nearest known one."""

    code, chinese = "OW-1102", "配置文件中有未知的键"


class SettingInvalid(ConfigError):
    """The value of a setting has the wrong form, or a required setting is missing."""

    code, chinese = "OW-1103", "配置项的值不合法,或缺少必填项"


class YamlUnreadable(ConfigError):
    """A settings file is not YAML. The message gives line and column."""

    code, chinese = "OW-1104", "配置文件不是合法的 YAML"


class SecretMissing(ConfigError):
    """A ${NAME} in a settings file names an environment variable that is not set, or a secret file that can't be read."""

    code, chinese = "OW-1105", "引用的密钥不存在"


class DatasetUnknown(ConfigError):
    """A command names a system or dataset that no source file declares."""

    code, chinese = "OW-1106", "没有声明这个系统或数据集"


class ColumnMissing(ConfigError):
    """A declared key, cursor or mapped column is not in the table or file."""

    code, chinese = "OW-1107", "声明的列在来源中不存在"


class TableMissing(ConfigError):
    """A declared table does not exist in the source, or the login may not see it."""

    code, chinese = "OW-1108", "声明的表不存在,或账号无权查看"


class ContractUnreadable(ConfigError):
    """A file in ``contracts/`` is no data contract of the Open Data Contract Standard with one schema and its columns."""

    code, chinese = "OW-1121", "数据契约文件无法读取"


class DeploymentExists(ConfigError):
    """``onewindow init`` was pointed at a directory that already holds a deployment; nothing was changed."""

    code, chinese = "OW-1109", "目录中已有部署,未作改动"


class CityDiffers(ConfigError):
    """``onewindow demo`` was asked for another size or seed than the sample city in its directory has. Two cities in one
    view would be neither; nothing was changed."""

    code, chinese = "OW-1110", "目录中的示例城市规模或种子不同,未作改动"


class NoSampleCity(ConfigError):
    """``onewindow demo`` was pointed at a deployment that is not a sample city; nothing was changed."""

    code, chinese = "OW-1111", "目录中的部署不是示例城市,未作改动"


class KeyDiffers(ConfigError):
    """The secret key is not the one that this deployment was made with. Every resident and record would get another id
    beside the one it has, so nothing is read with it."""

    code, chinese = "OW-1112", "密钥与建立部署时所用的不是同一个"


class SourceExists(ConfigError):
    """``onewindow source add`` was asked for a source file, or a password file, that is there already, or for a system that
    another file declares. A file that someone may have edited is never written over."""

    code, chinese = "OW-1113", "来源文件、密码文件或系统已存在,未作改动"


class NothingToPropose(ConfigError):
    """``onewindow source add`` reached the source, but found nothing in it to make a dataset of: no table or file, only
    empty ones, or none with a column that tells of whom it speaks. Nothing was written."""

    code, chinese = "OW-1114", "来源中没有可以接入的内容,未写入任何文件"


class KeyUnknown(ConfigError):
    """``onewindow source add`` found nothing that names a record. Nothing was written."""

    code, chinese = "OW-1115", "找不到可用的主键列,未写入任何文件"


# 12xx: sources -------------------------------------------------------------------------------------------------------


class SourceUnreachable(RetryLater):
    """The department system does not answer. OneWindow keeps trying; the other sources go on."""

    code, chinese, exit_code = "OW-1201", "业务系统无法连接", 69


class SourceRefused(ConfigError):
    """The department system answers, but refuses the login: wrong user, password or database."""

    code, chinese = "OW-1202", "业务系统拒绝登录"


class PrivilegeMissing(ConfigError):
    """The login works, but may not read what is declared. The message holds the GRANT that mends it."""

    code, chinese = "OW-1203", "账号缺少读取权限"


class FolderMissing(ConfigError):
    """The drop folder of a file source does not exist or can't be read."""

    code, chinese = "OW-1204", "文件投放目录不存在或无法读取"


class FileEncodingWrong(RetryLater):
    """A file holds bytes that its declared encoding does not allow. The file is left where it is and nothing of it is
    read; it is looked at again when it changes."""

    code, chinese, exit_code = "OW-1205", "文件编码与声明不符,未读取", 1


class DumpTruncated(RetryLater):
    """A full dump ends in the middle of a row, or lacks its header. Nothing of it is read and nobody is deleted; it is
    looked at again when it changes (guarantee 10)."""

    code, chinese, exit_code = "OW-1206", "全量文件不完整,未读取,未删除任何人", 1


class TooManyDisappeared(RetryLater):
    """More records are absent from a full dump than its limit allows. The rows it has are taken; nothing is deleted
    until a person says that it is right (guarantee 10)."""

    code, chinese, exit_code = "OW-1207", "全量文件中消失的记录超过限度,未作删除,需人工确认", 1


class FileColumnsWrong(RetryLater):
    """The header of a file lacks a declared column. Nothing of it is read; the last good state stays."""

    code, chinese, exit_code = "OW-1208", "文件缺少声明的列,未读取", 1


class FileTooLarge(RetryLater):
    """A packed file or workbook would take more room, or hold more cells, than may be."""

    code, chinese, exit_code = "OW-1241", "文件解包后过大,未读取", 1


class DumpTooEarly(RetryLater):
    """The name of a dump says a month that has not come. It is not taken; everything else is."""

    code, chinese, exit_code = "OW-1243", "文件名中的月份尚未到来,未读取", 1


class FileUnreadable(RetryLater):
    """A workbook or zip file is locked, or does not hold one dump."""

    code, chinese, exit_code = "OW-1242", "表格或压缩文件无法使用,未读取", 1


class SourceSick(InvariantBroken):
    """So large a share of a dataset's records is refused that not the records but the source or its mapping is wrong:
    a renamed column, a changed code table. The dataset is paused where it stands; nothing is lost (guarantee 4)."""

    code, chinese = "OW-1209", "拒收比例过高,判定为来源或映射有误,数据集已暂停"


class DatasetPaused(RetryLater):
    """The dataset stands still after OW-1209: its events wait in their topic, all other datasets go on. A changed mapping
    lets it go on where it stood; so does ``onewindow source resume``, where the source itself was mended: what is refused
    of the waiting events goes to quarantine."""

    code, chinese = "OW-1210", "数据集已暂停,修正映射或来源后继续"


class AbsenceDoubtful(RetryLater):
    """Records are absent from a full dump, but it also has rows whose key can't be read, and they may be these. Nothing is
    deleted until a person says that it is right (guarantee 10)."""

    code, chinese, exit_code = "OW-1211", "全量文件有缺失,但部分行的主键无法读取,未作删除,需人工确认", 1


class SourceSilent(RetryLater):
    """A dataset was not read to its end for much longer than its ``fresh_s`` allows, and no error says why: its look takes
    too long, or its thread stands still."""

    code, chinese, exit_code = "OW-1212", "数据集长时间未读完一遍,且未报错", 1


class DatasetHalted(RetryLater):
    """A person has paused the dataset with ``onewindow source pause``: the connectors do not read it until
    ``onewindow source resume``. All other datasets go on; what changes in the source meanwhile is read afterwards."""

    code, chinese = "OW-1213", "数据集已由人员暂停读取,恢复后继续"


class FullReadImpossible(RetryLater):
    """A dataset can't be read in full now, so it can't be compared with what the pipeline holds: no dump lies in the drop
    folder, or it is an exchange table, which holds changes and never all records."""

    code, chinese, exit_code = "OW-1214", "目前无法完整读取该数据集,不能对账", 69


class PositionLost(RetryLater):
    """The place where reading a dataset had stopped does not exist any more: its replication slot is gone, was made anew or
    holds too little; its table or publication was made anew; or another server answers, or one that was restored. What
    happened since can't be told, so the dataset is read from the beginning under a new epoch, and what differs is
    reconciled. Nothing needs to be done."""

    code, chinese = "OW-1221", "读取位点已失效,数据集将从头重读并对账"


class LogCaptureImpossible(ConfigError):
    """The database does not give its log as ``capture: log`` needs it: wal_level is not logical, no replication slot is
    free, a table lacks what names a row in it, or the publication leaves something out. The message says what to run."""

    code, chinese = "OW-1222", "数据库尚不具备日志采集条件"


class SourceBusy(RetryLater):
    """Reading must wait for the source: for transactions that were open when reading began, for a connection that still
    holds the replication slot, or for a log that is not decoded yet. It goes on by itself."""

    code, chinese = "OW-1223", "等待来源数据库:有未结束的事务或日志尚未解析完"


class FlagNotWritable(ConfigError):
    """The flag of an exchange table can't be set, so what is read could never be marked as read: the login may not UPDATE it,
    or the database can only be read. Nothing is read until that is mended. The message holds the GRANT."""

    code, chinese = "OW-1231", "无法更新前置库的读取标志,未读取"


class AnswerNotJson(RetryLater):
    """An API answers with something else than JSON: a web page, an address to go to (most often a login page), bytes that
    its charset does not allow. Nothing of the answer is taken; it is asked again."""

    code, chinese, exit_code = "OW-1251", "接口返回的不是 JSON,未读取", 1


class AnswerTruncated(RetryLater):
    """The answer of an API ends too early: fewer bytes came than it announced, or its JSON is not whole. Nothing of it is
    taken and nobody is deleted; it is asked again."""

    code, chinese = "OW-1252", "接口返回的内容不完整,将重新请求"


class AnswerTooLarge(ConfigError):
    """An API sends more bytes for one page than ``answer_limit_mb`` allows. The rest is not fetched, and nothing of it is
    taken."""

    code, chinese = "OW-1253", "接口返回的内容超过大小限度,未读取"


class AnswerShapeWrong(RetryLater):
    """The JSON of an API is not as the source file declares it: there is no list at ``records``, what is in it are no
    objects, or ``total`` or ``next`` is no plain value. Many APIs tell an error of their own that way. Nothing of it is
    taken; it is asked again."""

    code, chinese, exit_code = "OW-1254", "接口返回的 JSON 与声明的结构不符,未读取", 1


class PagingEndless(ConfigError):
    """The pages of an API have no end: it names a page that was already read as the next one, gives the same page for
    another number, or gives page after page with nothing new."""

    code, chinese = "OW-1255", "接口分页没有尽头,已停止翻页"


class ReadIncomplete(RetryLater):
    """An API gave fewer records than it says there are, or its records moved on faster than they could be read page by page.
    What came is taken, nobody is deleted (guarantee 10), and it is read again from the first page."""

    code, chinese, exit_code = "OW-1256", "接口返回的记录少于其声明的总数,未作删除,将重新读取", 1


class SourceThrottled(RetryLater):
    """An API asks not to be asked again for a while (429, or 503). It is left alone until then; nothing is lost."""

    code, chinese = "OW-1257", "接口要求稍后再试,届时自动继续"


class RequestRefused(ConfigError):
    """An API refuses a request as wrong: it does not know a parameter, or not in this form. Or the address of the next page
    may not be followed, because it leads to another server or holds an ID number."""

    code, chinese = "OW-1258", "接口拒绝该请求,或下一页地址不可使用"


class KeyRepeated(RetryLater):
    """One page of an API has several records with the same key and different content. The last one is taken; what the
    others say is lost while ``key`` does not tell them apart."""

    code, chinese, exit_code = "OW-1259", "同一页中有多条主键相同而内容不同的记录,只取最后一条", 1


# 13xx: broker --------------------------------------------------------------------------------------------------------


class BrokerUnreachable(RetryLater):
    """Nothing answers at kafka.bootstrap_servers. It is waited for; nothing is lost meanwhile."""

    code, chinese, exit_code = "OW-1301", "消息代理无法连接", 69


class PortTaken(RetryLater):
    """The port that a role wants to listen on is taken by another process."""

    code, chinese, exit_code = "OW-1302", "端口已被占用", 69


class DirectoryTaken(RetryLater):
    """Another broker works on this data directory. Two would destroy each other's log, so the second ends at once."""

    code, chinese, exit_code = "OW-1303", "数据目录正被另一个消息代理使用", 69


class PublishFailed(RetryLater):
    """The broker did not take a batch in time, or refused it. The batch and everything after it is sent again."""

    code, chinese = "OW-1304", "消息未被确认,将重新发送"


class TopicWrong(ConfigError):
    """A topic exists with another number of partitions than declared; keys would change their partition."""

    code, chinese = "OW-1305", "主题分区数与声明不符"


class LogDamaged(InvariantBroken):
    """A file of the embedded broker is missing, too short, or not as it was written: of a partition's log, or of the list
    of topics. It is reported and never skipped."""

    code, chinese = "OW-1306", "消息代理的日志或状态文件损坏"


class EventsLost(InvariantBroken):
    """The topic of a dataset lacks events that the broker had acknowledged: numbers are missing, or it ends too early. What
    is missing is read from the source again, at the latest when its next event shows the gap."""

    code, chinese = "OW-1307", "已确认的变更事件在主题中缺失"


class EventUnreadable(InvariantBroken):
    """A stored event is none of the known ones, in no known version, or lacks the headers that number it: it was written
    by a newer version of OneWindow, or by another tool. It is never skipped."""

    code, chinese = "OW-1308", "日志中的事件无法识别"

    def __init__(self, why: str, place: str = "an event") -> None:
        super().__init__(
            f"{place} can't be read ({why})",
            fix="run the same version of OneWindow in every role; if another tool wrote it, keep that tool away from the"
            " topic, and start from a new deployment: the sources are read again",
        )
        self.why = why


class ClusterWrong(ConfigError):
    """The cluster, or a topic on it, keeps events less safely than ``kafka.replication`` declares: too few brokers or
    replicas, a lower min.insync.replicas, or an election of a leader that lacks acknowledged events."""

    code, chinese = "OW-1309", "集群或主题的副本设置低于声明,事件可能丢失"


# 14xx: view and store ------------------------------------------------------------------------------------------------


class DatabaseUnreachable(RetryLater):
    """The database of the view, or of streams, does not answer. It is waited for; offsets are kept with the rows, so
    nothing is lost."""

    code, chinese, exit_code = "OW-1401", "数据库无法连接", 69


class AnotherLog(InvariantBroken):
    """The view (or the store of streams) holds offsets of another Kafka cluster or topic than the one it is given: a
    view file from another deployment, or a broker directory that was replaced. Going on would mix two histories."""

    code, chinese, exit_code = "OW-1402", "视图或存储中的位点属于另一个日志", 78


class LogTooShort(InvariantBroken):
    """A stored offset lies beyond the end of the log: the broker lost its tail or was restored from an older copy."""

    code, chinese = "OW-1403", "存储的位点超出日志末尾,日志比视图旧"


class LogTrimmed(InvariantBroken):
    """A stored offset lies below the start of the log: retention dropped events before they were read."""

    code, chinese = "OW-1404", "存储的位点早于日志起点,事件已被清理"


class OutOfStep(RetryLater):
    """Another worker has moved the offset meanwhile. This one gives way and reads the stored offset again."""

    code, chinese = "OW-1405", "位点已被另一个工作进程推进"


class NumberGap(InvariantBroken):
    """A batch of events is missing from the log: the next number of its origin is not there. Nothing after the gap is
    applied for that origin until the batch arrives; the relay sends it again."""

    code, chinese = "OW-1406", "事件编号有缺口,等待补发"


class ViewOutdated(InvariantBroken):
    """The view was made by a newer version of OneWindow, or under another declaration of authority, so it can't go on as it
    is. (One that was made by an older version is no error: the projections role makes it anew by itself.)"""

    code, chinese, exit_code = "OW-1407", "视图由更新的版本或另一份权威声明生成,需要重建", 78
    is_older = False
    """Whether the code is newer than the view, and nothing else differs."""


class ViewMissing(ConfigError):
    """There is no view at view.url yet: the deployment was never started."""

    code, chinese = "OW-1408", "视图尚不存在"


class DatabaseDamaged(InvariantBroken):
    """The SQLite file of the view, or of streams, is damaged, or is no database at all. Nothing was changed in it. What
    it held can be made anew from the log."""

    code, chinese, exit_code = "OW-1409", "数据库文件已损坏,或根本不是数据库", 78


class ArchiveDamaged(InvariantBroken):
    """A file of the archive is missing, is not what was written, or there is a hole between two. Nothing is served from
    it, so that a view never lacks what the hole held."""

    code, chinese = "OW-1411", "归档文件缺失、被改动,或有空洞"


class StoreOutdated(InvariantBroken):
    """The store of streams was made by another version of OneWindow: its tables have other columns. Nothing was changed in
    it. Unlike the view it is no fold of a single topic, so it isn't made anew unasked."""

    code, chinese, exit_code = "OW-1413", "流处理的存储由其他版本生成", 78


class BooksWrong(InvariantBroken):
    """Streams counted more or fewer records of a dataset than it took from its topic. Offset and counts are written in one
    transaction, so the store was changed by somebody else, or restored in part."""

    code, chinese = "OW-1410", "账目与位点不符"


class MappingReplaced(RetryLater):
    """Another mapping of the dataset came into force while a remap was at work: a worker of streams was started with another
    source file. What the remap had said again is as its own mapping makes it; nothing was lost."""

    code, chinese = "OW-1412", "重新映射期间,另一份映射已生效"


# 15xx: asking --------------------------------------------------------------------------------------------------------


class ResidentUnknown(OneWindowError):
    """The view holds no resident with this id or ID number."""

    code, chinese = "OW-1501", "视图中没有这位居民"


class CommunityUnknown(OneWindowError):
    """The view holds no community with this code."""

    code, chinese = "OW-1502", "视图中没有这个社区"


class IdOnCommandLine(OneWindowError):
    """An ID number was given as an argument. Arguments are seen by every user of the machine and kept in histories, so
    it is refused: give the resident id, or the ID number at the prompt or on standard input."""

    code, chinese, exit_code = "OW-1503", "不得在命令行参数中给出身份号码", 2


class CodeUnknown(OneWindowError):
    """``onewindow explain`` was asked for a code or reason that does not exist."""

    code, chinese, exit_code = "OW-1504", "没有这个代码", 2


class QuarantineUnknown(OneWindowError):
    """There is no refused record with this number."""

    code, chinese = "OW-1505", "隔离区中没有这条记录"


class ComparisonOpen(RetryLater):
    """``onewindow source reconcile`` found records that differ, and can't tell whether they are lost or only on their way: the
    pipeline does not pass the moment at which the source was read, because a role is down, the dataset is paused, or it
    takes too long. Nothing was changed."""

    code, chinese = "OW-1506", "对账有差异,但无法判断是丢失还是仍在途中"


class PlaceUnknown(OneWindowError):
    """``onewindow source seek`` was given a place from which the dataset can't be read again: no value of its cursor, one that
    lies ahead of what was read, or a dataset that has no cursor. Nothing was changed."""

    code, chinese, exit_code = "OW-1507", "数据集不能从这个位置重新读取,未作改动", 2


# 16xx: processes -----------------------------------------------------------------------------------------------------


class RoleStalled(RetryLater):
    """A role stood still although work was waiting. It ends with exit code 75 and the supervisor starts it again."""

    code, chinese = "OW-1601", "进程停滞,将被重启"


class AlreadyRunning(RetryLater):
    """Another supervisor works on this deployment, or another process is this role already. Two would only be in each
    other's way, so the second ends."""

    code, chinese, exit_code = "OW-1602", "该部署已在运行", 69


class RoleFailing(RetryLater):
    """A role ended again and again right after its start; the supervisor gave up on it. Its log says why."""

    code, chinese = "OW-1603", "进程反复退出,已停止重启"


class DiskFull(RetryLater):
    """The disk that holds the deployment is full. Nothing acknowledged is lost; it goes on as soon as there is room."""

    code, chinese, exit_code = "OW-1606", "磁盘空间已满", 69


class Defect(InvariantBroken):
    """An error that OneWindow did not foresee: the fault is ours. What led to it is in the file that the message names,
    without any resident's values."""

    code, chinese, exit_code = "OW-1604", "程序自身的缺陷,错误详情已写入文件", 70


class RoleDown(RetryLater):
    """A role that the deployment needs is not running."""

    code, chinese, exit_code = "OW-1605", "进程未运行", 69


FAMILIES: tuple[type[OneWindowError], ...] = (ConfigError, RetryLater, RecordRejected, InvariantBroken)


def catalogue() -> dict[str, type[OneWindowError]]:
    """Every error class that has a code, by its code."""

    def leaves(cls: type[OneWindowError]) -> list[type[OneWindowError]]:
        return [cls, *(leaf for child in cls.__subclasses__() for leaf in leaves(child))]

    return {cls.code: cls for cls in sorted(leaves(OneWindowError), key=lambda cls: cls.code) if cls.code}
