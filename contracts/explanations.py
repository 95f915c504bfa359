"""What each error code means in Chinese, and what mends it, in both languages: the rest of ``onewindow explain``.

The English meaning is the docstring of the error's class. A message knows more: where it happened, and often the very
command; here stands what holds wherever the code comes up.
"""

from __future__ import annotations

from typing import NamedTuple


class Explained(NamedTuple):
    """Sentences: the meaning in Chinese, and what mends it."""

    chinese: str
    mend: str
    mend_zh: str


EXPLAINED: dict[str, Explained] = {
    "OW-1101": Explained(
        "-C 指定的目录中没有 onewindow.yaml，因此它不是一个部署。",
        "Name a deployment with -C DIR, or make one with `onewindow init DIR`.",
        "用 -C 指定一个部署目录，或用 `onewindow init DIR` 新建一个。",
    ),
    "OW-1102": Explained(
        "onewindow.yaml 或来源文件中有一个键不是配置项。提示中给出了最接近的已知键。",
        "Correct the key, or delete the line; docs/configuration.md lists all keys.",
        "改正该键，或删除这一行；全部配置项见 docs/configuration.md。",
    ),
    "OW-1103": Explained(
        "某个配置项的值形式不对，或缺少必填项。",
        "Correct the value at the place that the message names.",
        "在提示所指的位置改正该值。",
    ),
    "OW-1104": Explained(
        "配置文件不是合法的 YAML，提示中给出了行号和列号。",
        "Correct the file at that line; most often it is the indentation or a missing quotation mark.",
        "在该行改正；多半是缩进有误，或少了引号。",
    ),
    "OW-1105": Explained(
        "配置文件中的 ${NAME} 引用了未设置的环境变量，或密钥文件无法读取。",
        "Set the environment variable, or create the file so that only this user can read it.",
        "设置该环境变量，或创建该文件并只允许本用户读取。",
    ),
    "OW-1106": Explained(
        "命令中给出的系统或数据集没有在任何来源文件中声明。",
        "Use one of the names that the message lists, or declare it in sources/.",
        "使用提示中列出的名称，或在 sources/ 中声明它。",
    ),
    "OW-1107": Explained(
        "声明的主键列、游标列或映射列在表或文件中不存在。",
        "Correct key, cursor or map in the source file, or let the department add the column.",
        "改正来源文件中的 key、cursor 或 map，或请部门补上该列。",
    ),
    "OW-1108": Explained(
        "声明的表在来源中不存在，或登录账号看不到它。",
        "Correct table and schema_name in the source file, or let the department's DBA grant the login SELECT.",
        "改正来源文件中的 table 和 schema_name，或请部门的数据库管理员授予该账号查询权限。",
    ),
    "OW-1109": Explained(
        "`onewindow init` 指定的目录中已经有一个部署，没有作任何改动。",
        "Choose another directory.",
        "换一个目录。",
    ),
    "OW-1110": Explained(
        "目录中的示例城市与所要求的规模或种子不同。两座城市混在一个视图里就都不成立，因此没有作任何改动。",
        "Leave out --residents and --seed to go on with the city that is there, or choose another directory.",
        "去掉 --residents 和 --seed 以继续使用现有的城市，或换一个目录。",
    ),
    "OW-1111": Explained(
        "`onewindow demo` 指定的部署不是示例城市，没有作任何改动。",
        "Choose another directory for the sample city; `onewindow up` starts this deployment.",
        "为示例城市另选目录；启动该部署请用 `onewindow up`。",
    ),
    "OW-1112": Explained(
        "密钥文件中的密钥与建立该部署时所用的不是同一个。若继续，每位居民都会得到另一个编号，因此没有读取任何数据。",
        "Put back the secret file that the deployment was made with; with another key, start a new deployment.",
        "恢复建立部署时的密钥文件；若要改用其他密钥，请新建部署。",
    ),
    "OW-1113": Explained(
        "`onewindow source add` 要写的来源文件或密码文件已经存在，或该系统已由另一个文件声明。可能有人编辑过的文件绝不覆盖。",
        "Choose another name, or move the file away.",
        "换一个名称，或移走该文件。",
    ),
    "OW-1114": Explained(
        "`onewindow source add` 连上了来源，但其中没有可以接入的内容：没有表或文件，都是空的，或没有一列说明记录属于谁。没有写入任何文件。",
        "Name the tables with --dataset, wait until they hold rows, or write the source file by hand: docs/configuration.md.",
        "用 --dataset 指定表，等表中有数据后再试，或参照 docs/configuration.md 手工编写来源文件。",
    ),
    "OW-1115": Explained(
        "`onewindow source add` 找不到能标识一条记录的列。没有写入任何文件。",
        "Ask the department for a view with a key, or declare the key by hand: docs/configuration.md.",
        "请部门提供带有主键的视图，或参照 docs/configuration.md 手工声明 key。",
    ),
    "OW-1121": Explained(
        "contracts/ 中的文件不是符合开放数据契约标准（ODCS）的契约，或其中没有唯一的一个 schema 及其列。",
        "Correct the file, or move it away and let `onewindow source contract` make it anew.",
        "改正该文件，或将其移走后用 `onewindow source contract` 重新生成。",
    ),
    "OW-1201": Explained(
        "业务系统没有应答。OneWindow 会不断重试，其他来源照常进行。",
        "See that the system runs, and that host and port in connector.url are right. It goes on by itself.",
        "检查该系统是否在运行，以及 connector.url 中的主机和端口是否正确。恢复后自动继续。",
    ),
    "OW-1202": Explained(
        "业务系统有应答，但拒绝登录：用户名、密码或数据库名不对。",
        "Correct user and database in connector.url, and the password in connector.password_file.",
        "改正 connector.url 中的用户名和数据库名，以及 connector.password_file 中的密码。",
    ),
    "OW-1203": Explained(
        "登录成功，但账号无权读取声明的内容。提示中给出了所需的 GRANT 语句。",
        "Let the department's DBA run the GRANT of the message.",
        "请部门的数据库管理员执行提示中的 GRANT 语句。",
    ),
    "OW-1204": Explained(
        "文件来源的投放目录不存在，或无法读取。",
        "Create the folder and let this user read it, or correct connector.folder.",
        "创建该目录并授予读取权限，或改正 connector.folder。",
    ),
    "OW-1205": Explained(
        "文件中有声明的编码所不允许的字节。文件原样保留，内容一概未读；文件改变后会再次检查。",
        "Declare the file's true encoding in the source file, or let the department export it again.",
        "在来源文件中声明真实的编码，或请部门重新导出。",
    ),
    "OW-1206": Explained(
        "全量文件在一行中间结束，或没有表头。内容一概未读，没有删除任何人；文件改变后会再次检查。",
        "Let the department export and upload the whole file again.",
        "请部门重新完整地导出并上传。",
    ),
    "OW-1207": Explained(
        "全量文件中消失的记录超过限度。文件中已有的行照常读取；在有人确认之前不删除任何记录。",
        "Let the department export it again; if the records are truly gone, write the number of the question into FILE.approved beside the file, as the message says.",
        "请部门重新导出；如果这些记录确实应当删除，按提示将问题编号写入该文件旁的 FILE.approved 文件。",
    ),
    "OW-1208": Explained(
        "文件的表头缺少声明的列。内容一概未读，保持上一次的正确状态。",
        "Let the department export the column again, or correct key and map in the source file.",
        "请部门重新导出该列，或改正来源文件中的 key 和 map。",
    ),
    "OW-1241": Explained(
        "压缩文件或工作簿解包后超过允许的大小或单元格数，可能损坏或含有恶意内容。内容一概未读，保持上一次的正确状态。",
        "Let the department split the dump, clear unused rows and columns, or export CSV.",
        "请部门拆分文件、清除多余的行列，或改为导出 CSV。",
    ),
    "OW-1242": Explained(
        "工作簿或压缩文件被加密、不含数据表，或压缩包内不止一个文件。内容一概未读，保持上一次的正确状态。",
        "Let the department export it again without a password, one dump to a file; or correct sheet in the source file.",
        "请部门取消密码后重新导出，每个文件只含一份数据；或改正来源文件中的 sheet。",
    ),
    "OW-1243": Explained(
        "文件名中的月份晚于下个月。若读取它，此后每个月的文件都会被视为过期，因此不读取；其他文件照常读取。",
        "Rename the file, or take it out of the drop folder.",
        "改正文件名，或将其移出投放目录。",
    ),
    "OW-1209": Explained(
        "一个数据集被拒收的比例过高，说明有误的不是记录，而是来源或映射：例如列被改名，代码表有变。数据集停在原处，没有丢失。",
        "Compare the source file with the source; a changed mapping lets the dataset go on where it stood.",
        "将来源文件与来源对照；映射修改后，数据集从原处继续。",
    ),
    "OW-1210": Explained(
        "数据集在 OW-1209 之后停在原处：事件留在主题中等待，其他数据集照常进行。",
        "Correct the mapping in the source file, and start again.",
        "改正来源文件中的映射，然后重新启动。",
    ),
    "OW-1211": Explained(
        "全量文件有缺失的记录，同时有若干行的主键无法读取，可能正是这些记录。在有人确认之前不删除任何记录。",
        "Let the department mend the rows; if the records are truly gone, write the number of the question into FILE.approved beside the file, as the message says.",
        "请部门改正这些行；如果这些记录确实应当删除，按提示将问题编号写入该文件旁的 FILE.approved 文件。",
    ),
    "OW-1212": Explained(
        "数据集超过声明的新鲜度很久没有读完一遍，而且没有报错：一次读取耗时过长，或读取线程停住了。",
        "See run/connectors.log; if a look takes so long, raise fresh_s of the dataset.",
        "查看 run/connectors.log；如果一次读取本来就需要这么久，调大该数据集的 fresh_s。",
    ),
    "OW-1213": Explained(
        "有人用 `onewindow source pause` 暂停了这个数据集：在恢复之前连接器不读取它，其他数据集照常进行。暂停期间来源中的变化在恢复后读取。",
        "See in `onewindow status` who paused it, since when and why; then: onewindow source resume SYSTEM.DATASET.",
        "用 `onewindow status` 查看由谁、何时、因何暂停，然后执行 onewindow source resume 系统.数据集。",
    ),
    "OW-1214": Explained(
        "目前无法完整读取该数据集（投放目录中没有可用的全量文件，或来源是只含变更的前置库交换表），因此不能与流水线中的内容对账。",
        "Let the department put its newest full dump into the drop folder, then compare again. An exchange table can't be compared.",
        "请部门把最新的全量文件放入投放目录，然后重新对账。前置库交换表无法对账。",
    ),
    "OW-1221": Explained(
        "数据集上次读到的位置已不存在：复制槽丢失、被重建或保留不足，表或发布被重建，或应答的是另一台或恢复过的服务器。其间发生的变化无从得知，"
        "因此以新的纪元从头读取，并对账差异。",
        "Nothing: the dataset is read from its beginning by itself.",
        "无需处理，数据集会自动从头读取。",
    ),
    "OW-1222": Explained(
        "数据库尚不具备 `capture: log` 所需的条件：wal_level 不是 logical，没有空闲的复制槽，表缺少标识行的列，或发布有遗漏。",
        "Let the department's DBA run what the message says, or set connector.capture: poll.",
        "请部门的数据库管理员执行提示中的语句，或将 connector.capture 设为 poll。",
    ),
    "OW-1223": Explained(
        "读取须等待来源：开始读取时尚未结束的事务、仍占用复制槽的连接，或尚未解析完的日志。",
        "Nothing: it goes on by itself. If it stays, look for a transaction in the source that is never ended.",
        "无需处理，会自动继续；如果一直存在，查找来源中始终不结束的事务。",
    ),
    "OW-1231": Explained(
        "前置库交换表的读取标志无法更新：账号没有标志列的 UPDATE 权限，或数据库只读。若继续读取，已读的行永远无法标记，因此在修正之前不读取。",
        "Let the department's DBA run the GRANT of the message; it is for the flag and the time of reading alone. A database that can only be read is the wrong one: give connector.url the one that takes writes.",
        "请部门的数据库管理员执行提示中的 GRANT 语句，该权限仅限标志列和读取时间列；如果数据库只读，请将 connector.url 指向可写的主库。",
    ),
    "OW-1251": Explained(
        "接口返回的不是 JSON：可能是网页、跳转（多半是跳转到登录页），或字符集不符的内容。内容一概未读，会再次请求。",
        "Open the address of the message with the department's API tool; correct connector.url and connector.login.",
        "用部门的接口工具打开提示中的地址；改正 connector.url 和 connector.login。",
    ),
    "OW-1252": Explained(
        "接口返回的内容提前结束：字节数少于其声明的长度，或 JSON 不完整。内容一概未读，没有删除任何人，会再次请求。",
        "Nothing, if it happens once. If it stays, lower connector.page_rows, and ask the department about its gateway.",
        "偶尔出现时无需处理；如果持续出现，调小 connector.page_rows，并请部门检查其网关。",
    ),
    "OW-1253": Explained(
        "接口一页的内容超过 answer_limit_mb 允许的大小。其余部分没有获取，内容一概未读。",
        "Lower connector.page_rows; or raise connector.answer_limit_mb if pages are truly so large.",
        "调小 connector.page_rows；如果一页确实这么大，调大 connector.answer_limit_mb。",
    ),
    "OW-1254": Explained(
        "接口返回的 JSON 与来源文件的声明不符：records 处没有列表，其中的元素不是对象，或 total、next 不是单个值。许多接口以这种方式报告自身的错误。",
        "Compare endpoint in the source file with an answer of the API; if the answer is an error, ask the department.",
        "将来源文件中的 endpoint 与接口的实际返回对照；如果返回的是错误信息，请联系部门。",
    ),
    "OW-1255": Explained(
        "接口的分页没有尽头：把已读过的页当作下一页，对不同页码返回同一页，或一页接一页都没有新内容。",
        "Correct endpoint.paging in the source file: its param is most often not the one that the API knows.",
        "改正来源文件中的 endpoint.paging：多半是 param 不是接口所用的参数名。",
    ),
    "OW-1256": Explained(
        "接口给出的记录少于它自己声明的总数，或记录变动快于逐页读取。已给出的照常读取，没有删除任何人，并从第一页重新读取。",
        "Nothing, if it happens once. If it stays, the total counts records that this login may not see: leave out endpoint.total.",
        "偶尔出现时无需处理；如果持续出现，说明总数中含有该账号看不到的记录：去掉 endpoint.total。",
    ),
    "OW-1257": Explained(
        "接口要求过一段时间再请求（429 或 503）。在此之前不会打扰它，没有丢失。",
        "Nothing: it goes on by itself. If it comes often, lower connector.requests_per_s or raise connector.every_s.",
        "无需处理，会自动继续；如果经常出现，调小 connector.requests_per_s 或调大 connector.every_s。",
    ),
    "OW-1258": Explained(
        "接口认为请求有误：不认识某个参数，或参数形式不对。或者下一页的地址不可使用，因为它指向另一台服务器，或含有身份号码。",
        "Compare path, query, paging and since of the endpoint with the API's documentation.",
        "将 endpoint 的 path、query、paging 和 since 与接口文档对照。",
    ),
    "OW-1259": Explained(
        "接口的同一页中有多条主键相同而内容不同的记录。只取最后一条；在 key 不能区分它们之前，其余内容会丢失。",
        "Set key to columns that together name one record, or let the department remove the double ones.",
        "将 key 设为合起来能唯一标识一条记录的列，或请部门清除重复的记录。",
    ),
    "OW-1301": Explained(
        "kafka.bootstrap_servers 处没有应答。会一直等待，期间没有丢失。",
        "Start the broker (`onewindow up`, or `onewindow run broker`), or correct kafka.bootstrap_servers.",
        "启动消息代理（`onewindow up` 或 `onewindow run broker`），或改正 kafka.bootstrap_servers。",
    ),
    "OW-1302": Explained(
        "要监听的端口被另一个进程占用。",
        "Stop that process, or set another port in kafka.bootstrap_servers.",
        "停止那个进程，或在 kafka.bootstrap_servers 中换一个端口。",
    ),
    "OW-1303": Explained(
        "另一个消息代理正在使用这个数据目录。两个同时写会互相破坏日志，因此后一个立即退出。",
        "Stop the other one, or give this deployment another kafka.directory.",
        "停止另一个，或为该部署设置别的 kafka.directory。",
    ),
    "OW-1304": Explained(
        "消息代理没有及时接收一批事件，或拒绝接收。这一批及其后的事件会重新发送。",
        "Nothing, while the broker is away. If it stays, look at the broker's log and at max.message.bytes of the topic.",
        "消息代理暂时不在时无需处理；如果持续出现，查看其日志和主题的 max.message.bytes。",
    ),
    "OW-1305": Explained(
        "主题的分区数与声明不同；改变分区数会使键落到别的分区。",
        "Set kafka.partitions back to the number that the topic has, or begin a new deployment.",
        "把 kafka.partitions 改回主题现有的分区数，或新建一个部署。",
    ),
    "OW-1306": Explained(
        "内置消息代理的某个文件缺失、变短或内容有变：分区日志，或主题列表。只报告，绝不跳过。",
        "Restore the broker's directory from a backup while the deployment is stopped; find out what the disk did.",
        "停止部署后，从备份恢复消息代理的目录；并查明磁盘的问题。",
    ),
    "OW-1307": Explained(
        "数据集的主题中缺少消息代理已经确认的事件：编号有缺，或结尾提前。缺少的部分会从来源重新读取，最迟在下一个事件显出缺口时。",
        "Nothing for the data; find out what happened to the broker's directory (kafka.fsync, a restored copy, a full disk).",
        "数据无需处理；请查明消息代理的目录出了什么事（kafka.fsync、恢复了旧副本、磁盘已满）。",
    ),
    "OW-1308": Explained(
        "日志中有一个事件不属于任何已知类型或版本，或缺少编号所需的消息头：由更新版本的 OneWindow 或别的工具写入。绝不跳过。",
        "Start the version of OneWindow that wrote it, or newer; let no other tool write to these topics.",
        "使用写入它的那个版本或更新版本的 OneWindow；不要让别的工具写入这些主题。",
    ),
    "OW-1309": Explained(
        "集群或其中的主题未按 kafka.replication 声明的方式保存事件：消息代理太少、副本不足、min.insync.replicas 过低，或允许落后的副本当选。",
        "onewindow topics plan shows each difference; onewindow topics apply raises the settings. Replicas of topics that"
        " are there are moved with kafka-reassign-partitions; or lower kafka.replication.",
        "用 onewindow topics plan 查看差异，用 onewindow topics apply 提高设置；已有主题的副本用 kafka-reassign-partitions 增加，"
        "或调低 kafka.replication。",
    ),
    "OW-1401": Explained(
        "视图或 streams 的数据库没有应答。会一直等待；位点与数据行在同一事务中，因此没有丢失。",
        "See that the database runs, accepts connections and has room on its disk. It goes on by itself.",
        "检查数据库是否在运行、能否连接、磁盘是否有空间。恢复后自动继续。",
    ),
    "OW-1402": Explained(
        "视图或 streams 的存储中的位点属于另一个 Kafka 集群或主题：视图文件来自别的部署，或消息代理的目录被换过。继续下去会混淆两段历史。",
        "Give it back the broker directory it was made with, or move view.sqlite and streams.sqlite away and start again.",
        "换回原来的消息代理目录，或移走 view.sqlite 和 streams.sqlite 后重新启动。",
    ),
    "OW-1403": Explained(
        "存储的位点超出日志末尾：消息代理丢了末尾的数据，或是从较旧的副本恢复的。",
        "Restore the log's tail; or move the databases of view and streams away and start again: the sources are read again.",
        "恢复日志的末尾；或移走视图和 streams 的数据库后重新启动，来源会重新读取。",
    ),
    "OW-1404": Explained(
        "存储的位点早于日志起点：保留期限在读取之前清除了事件。",
        "Lengthen retention.ms of the topic; then move the databases of view and streams away and start again.",
        "延长主题的 retention.ms；然后移走视图和 streams 的数据库后重新启动。",
    ),
    "OW-1405": Explained(
        "另一个工作进程已经推进了位点。本进程让出，并重新读取存储的位点。",
        "Nothing: it is tried again by itself.",
        "无需处理，会自动重试。",
    ),
    "OW-1406": Explained(
        "日志中缺少一批事件：其来源的下一个编号不在。缺口之后该来源的事件暂不应用，直到这一批到达；relay 会重新发送。",
        "Nothing, while streams runs: it is sent again. If it stays, see run/streams.log.",
        "streams 运行时无需处理，会重新发送；如果一直存在，查看 run/streams.log。",
    ),
    "OW-1407": Explained(
        "视图由更新版本的 OneWindow 或另一份权威声明生成，不能照原样继续。由旧版本生成的视图不是错误，projections 会自行重建。",
        "Set authority back if that was changed by mistake, or run the version of OneWindow that made the view; else make it anew: `onewindow rebuild`.",
        "如果是误改了 authority，改回原样；或运行生成该视图的 OneWindow 版本；否则重建：`onewindow rebuild`。",
    ),
    "OW-1408": Explained(
        "view.url 处还没有视图：该部署从未启动过。",
        "Start the deployment: `onewindow up`.",
        "启动该部署：`onewindow up`。",
    ),
    "OW-1409": Explained(
        "视图或 streams 的 SQLite 文件已损坏，或根本不是数据库。没有改动其中任何内容，其内容可以从日志重新生成。",
        "End what runs, move the file and those beside it (-wal, -shm) away, and start again.",
        "停止运行中的进程，移走该文件及其旁边的 -wal、-shm 文件，然后重新启动。",
    ),
    "OW-1410": Explained(
        "streams 对一个数据集的计数与它从主题取走的事件数不符。位点与计数在同一事务中写入，因此是存储被人改动过，或只恢复了一部分。",
        "Restore the database of streams as a whole, or begin a new deployment: the sources are read again.",
        "完整地恢复 streams 的数据库，或新建一个部署，来源会重新读取。",
    ),
    "OW-1411": Explained(
        "归档中有一个文件缺失、被改动，或两个文件之间有空洞。不再从归档提供任何内容，以免视图缺少空洞中的事件。",
        "Restore the archive's files from a backup; what the topics still hold is not lost.",
        "从备份恢复归档文件；主题中仍有的事件没有丢失。",
    ),
    "OW-1412": Explained(
        "重新映射期间，另一个 streams 进程带着不同的来源文件启动，使另一份映射生效。没有任何数据丢失。",
        "See that every worker of streams has the same source files, then run the remap again: `onewindow remap SYSTEM.DATASET`.",
        "确认所有 streams 进程使用相同的来源文件，然后再次运行 `onewindow remap SYSTEM.DATASET`。",
    ),
    "OW-1413": Explained(
        "streams 的存储由其他版本的 OneWindow 生成，表的列不同。没有改动其中任何内容。它不像视图那样由单个主题折叠而成，因此不会自动重建。",
        "Run the version that made it. Or end all roles, move the store, the view, `state/` and the broker's directory away (or delete the topics), and start again: all sources are read again.",
        "运行生成它的版本；或停止所有角色，移走存储、视图、`state/` 和 broker 的目录（或删除主题），然后重新启动，所有来源会重新读取。",
    ),
    "OW-1501": Explained(
        "视图中没有这个标识或这个身份号码的居民。",
        "See that the number is right, and with `onewindow status` that the view has caught up.",
        "核对号码，并用 `onewindow status` 确认视图已跟上。",
    ),
    "OW-1502": Explained(
        "视图中没有这个代码的社区。",
        "List all with `onewindow community`.",
        "用 `onewindow community` 列出全部社区。",
    ),
    "OW-1503": Explained(
        "身份号码被作为命令行参数给出。命令行参数对本机所有用户可见，并会留在历史记录中，因此拒绝执行。",
        "Give the resident id, or the ID number at the prompt or on standard input.",
        "改用居民标识，或在提示时输入身份号码，或从标准输入给出。",
    ),
    "OW-1504": Explained(
        "`onewindow explain` 询问的错误代码或拒收原因不存在。",
        "docs/errors.md lists all codes and reasons.",
        "全部代码和原因见 docs/errors.md。",
    ),
    "OW-1505": Explained(
        "隔离区中没有这个键的记录。",
        "Copy the key from `onewindow quarantine list`.",
        "从 `onewindow quarantine list` 中复制记录键。",
    ),
    "OW-1506": Explained(
        "`onewindow source reconcile` 发现了有差异的记录，但无法判断它们是丢失了还是仍在途中：流水线没有越过读取来源的时刻，因为有进程未运行、数据集已暂停，或耗时过长。没有作任何改动。",
        "Mend what the message names, see that `onewindow status` is healthy, and compare again.",
        "解决提示中所说的问题，确认 `onewindow status` 正常后重新对账。",
    ),
    "OW-1507": Explained(
        "数据集不能从给出的位置重新读取：不是游标列的值，位于已读内容之后，或该数据集没有游标。未作任何改动。",
        "Give --to a value of the cursor column that was read already, as the source writes it, or --beginning.",
        "用 --to 给出游标列中已读过的值（按来源的写法），或使用 --beginning。",
    ),
    "OW-1601": Explained(
        "有工作在等待，进程却停滞不前。它以退出码 75 结束，由监管进程重新启动。",
        "Nothing. If it comes again, see the role's log in run/.",
        "无需处理；如果反复出现，查看 run/ 中该进程的日志。",
    ),
    "OW-1602": Explained(
        "该部署已有另一个监管进程，或同一个进程已在运行。两个会互相妨碍，因此后一个退出。",
        "Look at the one that runs with `onewindow status`, or end it first.",
        "用 `onewindow status` 查看正在运行的，或先结束它。",
    ),
    "OW-1603": Explained(
        "进程一再在启动后立即退出，监管进程不再重启它。原因见它的日志。",
        "See the role's log in run/, mend what it says, and start again.",
        "查看 run/ 中该进程的日志，解决其中的问题后重新启动。",
    ),
    "OW-1604": Explained(
        "OneWindow 没有预料到的错误，是程序自身的缺陷。经过写在提示所指的文件中，其中没有居民的数据。",
        "Report it with that file. What was acknowledged is not lost.",
        "请连同该文件一起报告。已确认的数据没有丢失。",
    ),
    "OW-1605": Explained(
        "部署所需的一个进程没有运行。",
        "Start the deployment with `onewindow up`, which keeps its roles running; the role's log in run/ says why it ended.",
        "用 `onewindow up` 启动部署，它会保持各进程运行；退出原因见 run/ 中该进程的日志。",
    ),
    "OW-1606": Explained(
        "部署所在的磁盘已满。已确认的数据没有丢失，腾出空间后自动继续。",
        "Make room on the disk that holds the deployment; it goes on by itself.",
        "在部署所在的磁盘上腾出空间，随后会自动继续。",
    ),
}
